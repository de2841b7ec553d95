"""``mft chat`` and ``mft complete``: try a result in the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.base.formatting import without_control
from mftkit.base.importing import collector_paused
from mftkit.cli.app import app
from mftkit.cli.arguments import Reference  # noqa: TC001
from mftkit.cli.console import show_message
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from mftkit.tools.chat import TextGenerator

COMMANDS_HINT = (
    "each line is a turn; /reset forgets the conversation, /exit or Ctrl-D quits, Ctrl-C stops an answer"
)
MaxNewTokens = Annotated[
    int, typer.Option("--max-new-tokens", min=1, metavar="N", help="Maximum number of tokens in an answer.")
]
Temperature = Annotated[
    float,
    typer.Option(
        "--temperature", min=0.0, help="Sampling temperature. With 0, always take the likeliest token."
    ),
]


@app.command()
def chat(
    run: Reference,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="System message of the conversation.")
    ] = None,
    max_new_tokens: MaxNewTokens = 512,
    temperature: Temperature = 0.0,
) -> None:
    """Chat with RUN's trained model.

    It uses the chat template that the model was trained with. Each line is a turn; /reset forgets the conversation,
    /exit quits. Ctrl-C stops an answer. If standard input is not a terminal, lines are read from it, and nothing but
    answers is written to standard output.
    """
    from mftkit.interfaces.conversation import Turn

    generator = _load(run, max_new_tokens, temperature)
    if not generator.can_chat:
        raise MftError(f"RUN: {run} has no chat template: it was trained on plain texts; use mft complete")
    beginning = [Turn("system", system)] if system else []
    turns = list(beginning)
    for line in _lines():
        if line == "/exit":
            break
        if line == "/reset":
            turns = list(beginning)
            continue
        turns.append(Turn("user", line))
        try:
            with _stopped_by_interrupt(generator):
                text = generator.answer(turns, _write)
        except MftError as error:
            if not sys.stdin.isatty():
                raise
            show_message(f"error: {error}; /reset starts a new conversation")
            turns.pop()
            continue
        _write("\n")
        turns.append(Turn("assistant", text))


@app.command()
def complete(
    run: Reference,
    prompt: Annotated[
        str, typer.Argument(metavar="[PROMPT]", help='The text to continue; "-": standard input.')
    ] = "-",
    prefix: Annotated[
        Path | None,
        typer.Option(
            "--prefix",
            metavar="FILE",
            help='File with the text before a gap; "-": standard input. The model then fills in the gap.',
            show_default=False,
        ),
    ] = None,
    suffix: Annotated[
        Path | None,
        typer.Option(
            "--suffix",
            metavar="FILE",
            help='File with the text after the gap; "-": standard input.',
            show_default=False,
        ),
    ] = None,
    max_new_tokens: MaxNewTokens = 512,
    temperature: Temperature = 0.0,
) -> None:
    """Continue PROMPT with RUN's trained model.

    No chat template is applied. With --prefix or --suffix, the model writes what stands between them (fill in the
    middle), after the prompt that it was trained with.
    """
    if prefix is not None or suffix is not None:
        if prompt != "-":
            raise MftError("PROMPT: cannot be combined with --prefix and --suffix; leave it out")
        if str(prefix) == str(suffix) == "-":
            raise MftError(
                "--prefix and --suffix cannot both be read from standard input; give one of them as a file"
            )
        _infill(
            run, _read_side(prefix, "--prefix"), _read_side(suffix, "--suffix"), max_new_tokens, temperature
        )
        return
    generator = _load(run, max_new_tokens, temperature)
    text = sys.stdin.read() if prompt == "-" else prompt
    with _stopped_by_interrupt(generator):
        generator.complete(text, _write)
    _write("\n")


def _infill(run: str, prefix: str, suffix: str, max_new_tokens: int, temperature: float) -> None:
    from mftkit.tools.infill_formats import infill_formats

    formats = infill_formats(run)
    generator = _load(run, max_new_tokens, temperature)
    with _stopped_by_interrupt(generator):
        generator.infill(prefix, suffix, formats, _write)
    _write("\n")


def _read_side(path: Path | None, option: str) -> str:
    """Return the text on one side of the gap, with its line breaks as they are; "" if it is not given."""
    if path is None:
        return ""
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise MftError(f"{option}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MftError(f"{option}: {path} is not UTF-8 text: {error}") from error


def _load(run: str, max_new_tokens: int, temperature: float) -> TextGenerator:
    with collector_paused():
        from mftkit.tools.chat import TextGenerator
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with console_reporter() as reporter:
        return TextGenerator.load(run, reporter, max_new_tokens=max_new_tokens, temperature=temperature)


def _lines() -> Iterator[str]:
    """Yield the lines that a person types or that come through a pipe, except blank ones."""
    if sys.stdin.isatty():
        import readline  # noqa: F401  # gives ``input`` line editing and a history

        show_message(COMMANDS_HINT)
    while True:
        try:
            line = input("> ") if sys.stdin.isatty() else sys.stdin.readline()
        except EOFError:
            return
        if not line and not sys.stdin.isatty():
            return
        if line.strip():
            yield line.rstrip("\n") if line.strip() not in ("/exit", "/reset") else line.strip()


def _write(text: str) -> None:
    sys.stdout.write(without_control(text))
    sys.stdout.flush()


@contextmanager
def _stopped_by_interrupt(generator: TextGenerator) -> Iterator[None]:
    """Make the first Ctrl-C end the answer, and a second one the program."""
    if threading.current_thread() is not threading.main_thread():  # others may set no signal handler
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        if generator.stopping and callable(before):
            before(number, frame)
        generator.stop()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
