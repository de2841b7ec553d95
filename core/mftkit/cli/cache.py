"""``mft cache``: what is in the data cache, and its removal."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.console import result, show_message, table
from mftkit_registry import MftError

commands = typer.Typer(help="Look at the data cache, and remove parts of it.", no_args_is_help=True)
app.add_typer(commands, name="cache")
Directory = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="The cache. [default: MFT_CACHE, otherwise mftkit in the user's cache]",
        show_default=False,
    ),
]
_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@commands.command("list")
def list_(cache: Directory = None) -> None:
    """List the entries of the cache, those used last first."""
    from mftkit.base.formatting import one_line, whole
    from mftkit.data.made.cache_entries import entries
    from mftkit.data.made.storage import cache_root

    root = cache_root(cache)
    found = entries(root)
    rows = [
        (
            entry.kind,
            one_line(entry.task) or "-",
            "-" if entry.rows is None else whole(entry.rows),
            _size(entry.size),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used)),
            one_line(entry.path.name),
        )
        for entry in found
    ]
    table(("kind", "task", "rows", "size", "last used", "entry"), rows)
    result(f"{len(found)} entries, {_size(sum(entry.size for entry in found))}, in {root}")


@commands.command()
def prune(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="30d",
            help="Remove what was not used for so long: h, d or w.",
            show_default=False,
        ),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size",
            metavar="20GB",
            help="Remove the entries used longest ago until the cache is this small.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every entry.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    cache: Directory = None,
) -> None:
    """Remove entries of the cache; what a running command is making stays."""
    from mftkit.data.made.cache_entries import entries, remove, to_prune
    from mftkit.data.made.storage import cache_root

    if not (everything or older_than or max_size):
        raise MftError("cache prune: pass --older-than, --max-size or --all to say what is removed")
    before = None if older_than is None else time.time() - _parsed("--older-than", older_than, _SECONDS)
    most = 0 if everything else None if max_size is None else int(_parsed("--max-size", max_size, _BYTES))
    chosen = to_prune(entries(cache_root(cache)), before, most)
    freed, removed = 0, 0
    for entry in chosen:
        if not dry_run and not remove(entry):
            show_message(f"{entry.path} is in use by a running command and stays")
            continue
        show_message(f"{'would remove' if dry_run else 'removed'} {entry.path} ({_size(entry.size)})")
        freed, removed = freed + entry.size, removed + 1
    result(f"{removed} entries, {_size(freed)}{' would be' if dry_run else ''} freed")


def _parsed(option: str, text: str, units: dict[str, int]) -> float:
    """Read a number with a unit. Raises MftError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    unit = {name.lower(): factor for name, factor in units.items()}.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise MftError(
            f"{option} {text}: expected a number and a unit ({', '.join(units)}), such as 30{[*units][1]}"
        )
    return float(found[1]) * unit


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
