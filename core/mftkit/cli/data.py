"""``mft data``: looks at data files, which are read as a task's are."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mftkit.cli.app import app
from mftkit.cli.console import result, show_message
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from mftkit.data.rows.formats import RowError
    from mftkit.tools.data_stats.statistics import Statistics

commands = typer.Typer(help="Look at data files.", no_args_is_help=True)
app.add_typer(commands, name="data")
Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH", help="Data files, directories or globs, as for train.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Count rows that cannot be read, in place of ending at the first.")
]
SIMILAR = 0.8


@commands.command()
def stats(
    paths: Paths,
    references: Annotated[
        list[Path] | None,
        typer.Option(
            "--references",
            metavar="FILE",
            help="Rows of a benchmark that no row may repeat, in HumanEval's format. May be given many times.",
            show_default=False,
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option("--field", metavar="KEY", help="Key of the references' text.", show_default=False),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", metavar="PATH", help="Lengths in its tokens too.", show_default=False),
    ] = None,
    near: Annotated[
        float,
        typer.Option(
            "--near", min=0, max=1, metavar="SHARE", help="Similarity of near duplicates; 0: not looked for."
        ),
    ] = SIMILAR,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Count rows, formats and lengths, and find duplicates and rows that repeat a benchmark."""
    from mftkit.display import console_reporter
    from mftkit.tools.data_stats.statistics import data_sources, iter_located_rows

    found = _statistics(references or [], field, tokenizer, near)
    with console_reporter() as reporter, reporter.progress("reading rows", None) as advance:
        for placed in iter_located_rows(
            data_sources(paths, reporter.warn), _kept(found.bad) if skip_bad else None
        ):
            found.add(placed)
            advance(1)
    told = found.dump()
    if as_json:
        result(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        from mftkit.tools.data_stats.terminal import statistics_view

        _show(statistics_view(told))


@commands.command()
def show(
    paths: Paths,
    sample: Annotated[int, typer.Option("--sample", min=1, metavar="N", help="How many rows.")] = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed draws other rows.")] = 0,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Print some rows, drawn at random, turn by turn."""
    from mftkit.tools.data_stats.statistics import data_sources, format_name, iter_located_rows, sampled

    bad: list[str] = []
    rows = iter_located_rows(data_sources(paths, _warned), _kept(bad) if skip_bad else None)
    drawn = sampled(rows, sample, seed)
    if bad:
        _warned(f"{len(bad)} bad rows left out; the first: {bad[0]}")
    if as_json:
        told = [{"place": row.place, "format": format_name(row.row), "row": row.row} for row in drawn]
        result(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        from mftkit.tools.data_stats.terminal import rows_view

        _show(rows_view(drawn))


def _statistics(
    references: list[Path], field: str | None, tokenizer: str | None, near: float
) -> "Statistics":
    from mftkit.tools.data_stats.statistics import Statistics

    found = Statistics()
    if field is not None and not references:
        raise MftError("--field names the key of references: give them with --references")
    if near:
        from mftkit.similarity.near import NearIndex

        try:
            found.near = NearIndex(near)
        except MftError as error:  # a package is missing, and the rest can be told without it
            _warned(f"near duplicates are not looked for: {error}")
    if references:
        from mftkit.similarity.contamination import Contamination
        from mftkit.similarity.references import read_references

        found.contamination = Contamination(read_references(references, field))
    if tokenizer is not None:
        found.tokens_of = _tokens_of(tokenizer)
    return found


def _tokens_of(tokenizer: str) -> "Callable[[str], int]":
    from transformers import AutoTokenizer

    try:
        made: Any = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise MftError(f"--tokenizer {tokenizer}: cannot be loaded: {str(error).splitlines()[0]}") from error
    return lambda text: len(made(text, add_special_tokens=False)["input_ids"])


def _kept(bad: list[str]) -> "Callable[[RowError], None]":
    return lambda error: bad.append(str(error))


def _warned(message: str) -> None:
    show_message(f"warning: {message}")


def _show(view: "RenderableType") -> None:
    """Drawn on a terminal, plain lines elsewhere."""
    from rich.console import Console

    from mftkit.display.tables import as_text

    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(view)
    else:
        result(as_text(view))
