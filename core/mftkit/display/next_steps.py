"""What to do after a run: the commands that its result allows."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.formatting import one_line, place
from mftkit.base.json_files import read_json_object
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.models.stray_adapter import is_adapter
from mftkit.runs.result_files import has_chat_template

if TYPE_CHECKING:
    from mftkit.reporting.outcome import Outcome


def next_steps(directory: Path, outcome: Outcome) -> list[tuple[str, str]]:
    """What can be done now, each with the path or the command for it."""
    report = directory / "report.html"
    shown = [("report", one_line(place(report)))] if report.is_file() else []
    if not outcome.is_complete:
        return [*shown, *_to_continue(directory, outcome)]
    run, model = _argument(directory), directory / "model"
    if not model.is_dir():
        return shown
    use = f"mft chat {run}" if has_chat_template(model) else f'mft complete {run} "def "'
    merged = _argument(directory.with_name(f"{directory.name}-merged"))
    merge = [("merge the adapter into its base", f"mft merge {run} --output {merged}")]
    return [
        *shown,
        ("try the model", use),
        *(merge if is_adapter(model) else []),
        ("publish it on the Hugging Face Hub", f"mft push {run} USER/NAME{_merged(model)}"),
    ]


def _merged(model: Path) -> str:
    """The option that pushes a whole model, for an adapter whose base is on this disk alone."""
    config = read_json_object(model / ADAPTER_CONFIG) if is_adapter(model) else {}
    base = Path(str(config.get("base_model_name_or_path") or ""))
    in_hub_cache = any(part.startswith("models--") for part in base.parts)
    return " --merged" if base.is_absolute() and not in_hub_cache else ""


def _to_continue(directory: Path, outcome: Outcome) -> list[tuple[str, str]]:
    if not (directory / "spec.json").is_file() or outcome.reason not in ("interrupted", "failed"):
        return []
    command = f"mft run {_argument(directory)}{_processes(directory)}"
    if outcome.reason == "interrupted":
        return [("resume", command)]
    where = "last checkpoint" if any((directory / "checkpoints").glob("step-*")) else "start"
    return [(f"once the cause is fixed, continue from the {where}", command)]


def _processes(directory: Path) -> str:
    """The option for as many processes as the run had."""
    environment = directory / "environment.json"
    try:
        count = read_json_object(environment).get("processes") if environment.is_file() else 1
    except (OSError, ValueError):
        count = 1
    return f" --processes {count}" if isinstance(count, int) and count > 1 else ""


def _argument(path: Path) -> str:
    return shlex.quote(one_line(place(path)))
