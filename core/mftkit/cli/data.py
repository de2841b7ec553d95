"""``mft data stats``: statistics of data files, which are read as a task's are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.arguments import AllowWeakIsolation, allow_weak_isolation
from mftkit.cli.console import json_result, show_view
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

commands = typer.Typer(help="Look at data files.", no_args_is_help=True)
app.add_typer(commands, name="data")
Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Data files, directories or glob patterns, as in tasks[].train.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Count rows that cannot be read instead of stopping at the first one."),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Also count the rows that this data filter would drop: its name, or JSON with its options, as in "
        "tasks[].filters. Can be repeated.",
        show_default=False,
    ),
]
References = Annotated[
    list[Path] | None,
    typer.Option(
        "--references",
        metavar="FILE",
        help="Count rows that repeat a row of this benchmark, in HumanEval's format. Can be repeated.",
        show_default=False,
    ),
]
Field = Annotated[
    str | None,
    typer.Option(
        "--field",
        metavar="KEY",
        help="Key of the text in rows of --references, if they are in another format.",
        show_default=False,
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        metavar="PATH",
        help="Also measure lengths in tokens of this tokenizer.",
        show_default=False,
    ),
]
Near = Annotated[
    float,
    typer.Option(
        "--near",
        min=0,
        max=1,
        metavar="SHARE",
        help="Similarity at or above which rows are near duplicates; 0 turns the search off.",
    ),
]
SIMILAR = 0.8


@commands.command()
def stats(
    paths: Paths,
    filters: Filters = None,
    references: References = None,
    field: Field = None,
    tokenizer: Tokenizer = None,
    near: Near = SIMILAR,
    skip_bad: SkipBad = False,
    weak: AllowWeakIsolation = False,
    as_json: AsJson = False,
) -> None:
    """Count rows, lengths and what filters would drop.

    Also counts formats and duplicates.
    """
    from mftkit.display import console_reporter
    from mftkit.tools.data_stats.count import StatsRequest, count
    from mftkit.tools.data_stats.rows import data_sources

    allow_weak_isolation(weak)
    request = StatsRequest(filters or (), near, references or (), field)
    tokens_of = None if tokenizer is None else _tokens_of(tokenizer)
    with console_reporter() as reporter:
        sources = data_sources(paths, reporter.warn)
        statistics = count(request, sources, tokens_of, reporter, skip_bad=skip_bad).to_json()
    if as_json:
        json_result(statistics)
    else:
        from mftkit.tools.data_stats.terminal import statistics_view

        show_view(statistics_view(statistics))


def _tokens_of(tokenizer: str) -> "Callable[[str], int]":
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    try:
        loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise MftError(f"--tokenizer {tokenizer}: cannot be loaded: {str(error).splitlines()[0]}") from error
    return lambda text: len(loaded(text, add_special_tokens=False)["input_ids"])
