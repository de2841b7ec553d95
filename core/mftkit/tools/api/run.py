"""``mftkit.run``: train from Python."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mftkit.interfaces.callback import Callback
from mftkit.tools import run as engine
from mftkit.tools.api.given_data import given_files, in_python, load_given, override_texts
from mftkit.tools.api.progress import shown
from mftkit.tools.api.run_result import RunResult
from mftkit_registry import MftError, MftWarning, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.api.given_data import Overrides, SpecSource, TaskData


def run(
    spec: SpecSource,
    *,
    data: Mapping[str, TaskData] | None = None,
    overrides: Overrides = (),
    plugins: Sequence[object] = (),
    callbacks: Iterable[Callback | type[Callback] | str | JsonObject] = (),
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
        plugins: paths of files, modules, and classes of components that the spec can name, in addition to those of the
            spec; a class is named by its attribute ``name``, or after itself ("TokenSquare" is "token-square").
        callbacks: instances or classes of ``mftkit.Callback``, and names or ``{"name": ..., "options": {...}}`` of
            registered ones. A callback ends the run by ``run.stop(reason)``.
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
    ready, named = _sorted_out(callbacks)
    changes = override_texts(overrides)
    place = None if dry_run else _output
    with (
        given_files(spec, data, changes, plugins, place, fresh=fresh) as files,
        shown(progress, reporter, dry_run=dry_run) as display,
    ):
        prepared = load_given(spec, changes, files, plugins, named)
        if dry_run:
            plan = engine.plan(prepared, display, ready)
            return RunResult("planned", 0, None, path=prepared.output, planned=plan)
        with _arguments_in_messages():
            outcome = engine.run(prepared, fresh=fresh, reporter=display, callbacks=ready)
    return RunResult(**vars(outcome), path=prepared.output)


@contextmanager
def _arguments_in_messages() -> Iterator[None]:
    """Errors name arguments instead of the options of the command."""
    try:
        yield
    except MftError as error:
        error.args = (in_python(str(error), has_data=False),)
        raise


def _sorted_out(
    callbacks: Iterable[Callback | type[Callback] | str | JsonObject],
) -> tuple[list[Callback], list[str | JsonObject]]:
    """Callbacks that are ready, and those that the spec will name."""
    if isinstance(callbacks, str | dict | Callback | type):
        raise MftError("callbacks: should be a list, such as callbacks=[Patience()], even for one callback")
    ready: list[Callback] = []
    named: list[str | JsonObject] = []
    for one in callbacks:
        if isinstance(one, str | dict):
            named.append(one)
        else:
            ready.append(one() if isinstance(one, type) and issubclass(one, Callback) else one)
    for each in ready:
        _warn_of_unknown_events(type(each))
    return ready, named


def _warn_of_unknown_events(kind: type) -> None:
    """A method such as ``on_evaluate``, which other trainers call, would wait in silence."""
    events = [name for name in dir(Callback) if name.startswith("on_")]
    for name in dir(kind):
        if name.startswith("on_") and name not in events and callable(getattr(kind, name)):
            close = nearest(name, events)
            hint = f"did you mean {close[0]}?" if close else f"callbacks have {', '.join(events)}"
            warnings.warn(
                f"callback {kind.__name__}: {name} is never called; {hint}", MftWarning, stacklevel=4
            )


def _output(spec: Spec) -> Path:
    return spec.output
