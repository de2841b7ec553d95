"""``mftkit.run``: train from Python."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.tools import run as engine
from mftkit.tools.api.given_data import FOLDER, GivenData, load_given, placeholders
from mftkit.tools.api.progress import shown
from mftkit.tools.api.run_result import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.api.given_data import Overrides, SpecSource, TaskData


def run(
    spec: SpecSource,
    *,
    data: Mapping[str, TaskData] | None = None,
    overrides: Overrides = (),
    dry_run: bool = False,
    fresh: bool = False,
    progress: bool = True,
    reporter: Reporter | None = None,
) -> RunResult:
    """Train what the spec describes, or resume an unfinished run of the same spec.

    Rows given as ``data`` are saved as files in the run directory (``data/``), named after their content, so that its
    spec.json can be run by itself. Called again with the same rows, an unfinished run is resumed; with other rows it is
    refused, as if a data file had changed.

    The first Ctrl-C, or "interrupt the kernel" in a notebook, ends the run after the current step: a checkpoint is
    saved, and the result's reason is "interrupted".

    Args:
        spec: from ``mftkit.load_spec``, the path of a spec, or a spec as a dict (paths relative to the current
            directory).
        data: by task, its training rows: a ``datasets.Dataset``, a DataFrame, or an iterable of mappings; or
            ``{"train": rows, "valid": rows or a fraction}``. They replace ``train`` and ``valid`` of the spec's task.
            If the spec has no tasks, these are its tasks.
        overrides: changes of the spec: ``{"training.epochs": 3}``, or ``["training.epochs=3"]``.
        dry_run: read, check, tokenize and plan; the run directory is not touched.
        fresh: start over, removing the files of the run before.
        progress: show messages and progress: in the cell of a notebook, on a terminal, or as lines on standard error.
            False: warnings only.
        reporter: receives messages and progress instead.

    Returns:
        How the run ended, its directory, metrics, plan and model. A run that failed in training (a loss that is not
        finite, no memory) has the reason "failed" and the error.

    Raises:
        MftError: something that the user can fix.
    """
    with _prepared(spec, data, overrides, dry_run) as prepared, shown(progress, reporter) as display:
        if dry_run:
            return RunResult("planned", 0, None, path=prepared.output, planned=engine.plan(prepared, display))
        outcome = engine.run(prepared, fresh=fresh, reporter=display)
    return RunResult(
        outcome.reason, outcome.step, outcome.best_step, outcome.error, outcome.signal, path=prepared.output
    )


@contextmanager
def _prepared(
    source: SpecSource, data: Mapping[str, TaskData] | None, overrides: Overrides, dry_run: bool
) -> Iterator[Spec]:
    """The spec, its given rows on disk: in the run directory, and for a dry run in a temporary one."""
    if not data:
        yield load_given(source, overrides)
        return
    overrides = overrides if isinstance(overrides, dict) else list(overrides)
    given = GivenData.of(data)
    output = load_given(source, overrides, placeholders(given)).output
    if dry_run:
        with tempfile.TemporaryDirectory() as place:
            yield load_given(source, overrides, given.write(Path(place)))
        return
    try:
        yield load_given(source, overrides, given.write(output / FOLDER))
    except BaseException:
        if not _is_used(given, output):  # refused, or stopped before it began
            given.discard()
        raise


def _is_used(given: GivenData, output: Path) -> bool:
    """Whether the run directory's spec names the files that were written: the run had begun."""
    file = output / "spec.json"
    text = file.read_text("utf-8") if file.is_file() else ""
    return any(path.name in text for path in given.written)
