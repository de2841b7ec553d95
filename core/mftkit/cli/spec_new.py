"""``mft spec new``: a commented spec from data files and a model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.console import result, show_message
from mftkit.cli.spec import commands
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.tools.spec_new.build import NewSpec
    from mftkit.tools.spec_new.columns import Proposal
    from mftkit.tools.spec_new.grouping import TaskFiles
    from mftkit.tools.spec_new.survey import Survey

Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Data file, directory or glob pattern, or NAME=PATH: one task each. A train file takes the valid file "
        "beside it. May be repeated.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", help="Directory or hub id of the base model.", show_default=False)
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="SPEC",
        help="The file to write: .yaml with comments, or .json.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Name of the run. [default: that of the file]", show_default=False),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="[TASK:]COLUMN=KEY",
        help="Column that has another name than the key by which rows are read. May be repeated.",
        show_default=False,
    ),
]
Tuning = Annotated[
    str | None,
    typer.Option("--tuning", help="Name of the tuning. [default: by the model's size]", show_default=False),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        min=2,
        help="Maximum length of a row in tokens. [default: by the data]",
        show_default=False,
    ),
]
Fraction = Annotated[
    float, typer.Option("--valid", min=0, max=0.99, help="Share of the rows that is held out for validation.")
]
SPEC_FILE = "Spec file to write, .yaml or .json"
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
NoInput = Annotated[bool, typer.Option("--no-input", help="Never ask; what is missing is an error.")]


@commands.command()
def new(
    data: Data = None,
    model: Model = None,
    output: Output = None,
    name: Name = None,
    columns: Columns = None,
    tuning: Tuning = None,
    max_length: MaxLength = None,
    valid: Fraction = 0.05,
    force: Force = False,
    no_input: NoInput = False,
) -> None:
    """Write a commented spec for data files and a model.

    Looks at the rows, and asks for what is missing if there is a terminal.
    """
    from mftkit.tools.spec_new.build import Answers, build, check_target, write
    from mftkit.tools.spec_new.grouping import group
    from mftkit.tools.spec_new.model_facts import model_facts

    asks = not no_input and sys.stdin.isatty() and sys.stderr.isatty()

    def check(given: str) -> None:
        check_target(Path(given).expanduser(), force=force)

    named = str(output) if output is not None else _answer("--output", SPEC_FILE, asks, check, "spec.yaml")
    check(named)
    target = Path(named).expanduser()
    files = "Data files or directories, separated by spaces"
    paths = data or _words(_answer("--data", files, asks, lambda given: group(_words(given))))
    chosen = model or _answer("--model", "Directory or hub id of the base model", asks, model_facts)
    answers = Answers(target, paths, chosen, name, columns or [], tuning, max_length, valid)
    made = build(answers, lambda text: show_message(f"warning: {text}"), _asked(asks))
    write(made.spec, target, force=force)
    _show(made, target)


def _answer(
    option: str,
    question: str,
    asks: bool,
    check: Callable[[str], object],
    default: str | None = None,
) -> str:
    """Ask a question until ``check`` raises no MftError. Raises MftError where nobody can answer."""
    if not asks:
        if default is not None:
            return default
        raise MftError(f"{option} is required where there is no terminal to ask in")
    while True:
        given = _prompt(question, default)
        try:
            check(given)
        except MftError as error:
            show_message(str(error))
        else:
            return given


def _prompt(question: str, default: str | None = None) -> str:
    """Return one line of input. Raises MftError at the end of the input."""
    try:
        shows_default = bool(default)
        return str(typer.prompt(question, default=default, show_default=shows_default, err=True)).strip()
    except typer.Abort:
        show_message("")  # the cursor stands behind the question
        raise MftError("the input ended before the last question, so nothing was written") from None
    except BaseException:
        show_message("")
        raise


def _words(given: str) -> list[str]:
    """Divide a line as a shell does."""
    try:
        return shlex.split(given)
    except ValueError:
        raise MftError(f"{given}: a quotation mark is not closed") from None


def _asked(asks: bool) -> Callable[[TaskFiles, Survey], Proposal | None]:
    from mftkit.tools.spec_new.columns import ANSWER, QUESTION, TEXT, Proposal

    def ask(files: TaskFiles, survey: Survey) -> Proposal | None:
        if not asks or not survey.columns:
            return None
        show_message(f"task {files.name}: no format fits; columns with text: {', '.join(survey.columns)}")
        question = _column("Column of the question (empty: the rows are raw texts)", survey.columns)
        if question is None:
            text = _column("Column of the text", survey.columns)
            return None if text is None else Proposal({} if text == TEXT else {text: TEXT}, is_text=True)
        answer = _column("Column of the answer", survey.columns)
        given = {question: QUESTION, **({answer: ANSWER} if answer else {})}
        return Proposal({column: key for column, key in given.items() if column != key})

    return ask


def _column(question: str, columns: list[str]) -> str | None:
    """Ask for one of some columns; an empty answer is None."""
    while True:
        given = _prompt(question, "")
        if not given or given in columns:
            return given or None
        show_message(f"there is no column {given!r}; the columns are {', '.join(columns)}")


def _show(made: NewSpec, target: Path) -> None:
    from mftkit.base.formatting import one_line, place

    for task in made.tasks:
        rows = task.survey.count + (f", {task.survey.bad:,} cannot be used" if task.survey.bad else "")
        columns = ", ".join(f"{column} as {key}" for column, key in task.survey.proposal.columns.items())
        validation = f"; validation: {task.valid.count}" if task.valid is not None else ""
        line = f"task {task.files.name}: {rows}{f'; columns read: {columns}' if columns else ''}{validation}"
        show_message(one_line(line))
        for note in task.files.notes:
            show_message(one_line(f"  {note}"))
    shown = place(target)
    result(f"{shown}: written")
    result(f"  mft spec check {shown}")
    result(f"  mft run {shown} --dry-run")
    result(f"  mft run {shown}")
