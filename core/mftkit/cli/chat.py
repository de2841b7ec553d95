"""``mft chat`` and ``mft complete``: a result, tried in the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mftkit.cli.app import app
from mftkit.cli.console import show_message
from mftkit.display import console_reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.tools.chat import TextGenerator

Result = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run directory, or one with a model or a PEFT adapter.", show_default=False
    ),
]
MaxNewTokens = Annotated[
    int, typer.Option("--max-new-tokens", min=1, metavar="N", help="Most tokens of an answer.")
]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0.0, help="0: the likeliest token each time; else drawn.")
]


@app.command()
def chat(
    run: Result,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="A system turn.")] = None,
    max_new_tokens: MaxNewTokens = 512,
    temperature: Temperature = 0.0,
) -> None:
    """Talk to RUN's result, with the chat template that it was trained with.

    Each line is a turn; /reset forgets the conversation, /exit leaves. Ctrl-C stops an answer. Lines are read from
    standard input where it is no terminal, and only answers are written to standard output.
    """
    from mftkit.data.rows.formats import Turn

    talker = _loaded(run, max_new_tokens, temperature)
    if not talker.can_chat:
        raise MftError(f"RUN: {run} has no chat template: it learned texts alone; use mft complete")
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
            with _stopped_by_interrupt(talker):
                text = talker.answer(turns, _write)
        except MftError as error:
            if not sys.stdin.isatty():
                raise
            show_message(f"error: {error}; /reset begins anew")
            turns.pop()
            continue
        _write("\n")
        turns.append(Turn("assistant", text))


@app.command()
def complete(
    run: Result,
    prompt: Annotated[
        str, typer.Argument(metavar="[PROMPT]", help='The text to go on with; "-": standard input.')
    ] = "-",
    max_new_tokens: MaxNewTokens = 512,
    temperature: Temperature = 0.0,
) -> None:
    """Go on with PROMPT as RUN's result does, without a chat template."""
    talker = _loaded(run, max_new_tokens, temperature)
    text = sys.stdin.read() if prompt == "-" else prompt
    with _stopped_by_interrupt(talker):
        talker.complete(text, _write)
    _write("\n")


def _loaded(run: Path, max_new_tokens: int, temperature: float) -> TextGenerator:
    from transformers.utils import logging

    from mftkit.tools.chat import TextGenerator

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with console_reporter() as reporter:
        return TextGenerator.load(run, reporter, max_new_tokens=max_new_tokens, temperature=temperature)


def _lines() -> Iterator[str]:
    """The lines that a person types, or that come through a pipe; those without a word are none."""
    if sys.stdin.isatty():
        import readline  # noqa: F401  # lines can be edited, and called back

        show_message(
            "a line is a turn; /reset forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer"
        )
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
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def _stopped_by_interrupt(talker: TextGenerator) -> Iterator[None]:
    """The first Ctrl-C ends the answer, a second the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Any = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        if talker.stopping and callable(before):
            before(number, frame)
        talker.stop()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
