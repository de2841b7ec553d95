"""References to weights: RUN, RUN@STEP, RUN@last, RUN@best, RUN@best:TASK, a directory of weights, or a hub id."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.models.config import ADAPTER_CONFIG, is_hub_id
from mftkit.models.result import Result, find_result
from mftkit.runs.best_by import best_by_of, best_by_text, scores_by_step
from mftkit.runs.metrics_file import MetricsFile
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.base.json_types import JsonObject

LAST, BEST = "last", "best"
FORMS = "@STEP, @last, @best and @best:TASK"
"""What may follow a run directory, for messages."""
_STEP_DIRECTORY = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Weights:
    """What a reference stands for: exactly one of ``result``, ``step`` (of ``run``) and ``hub_id`` says where it is."""

    text: str
    """The reference as it was given."""
    run: Path | None = None
    """The run that made the weights, if they are a run's."""
    step: int | None = None
    """The step of the checkpoint that holds them; None: they are no checkpoint."""
    result: Result | None = None
    """The directory of a model or an adapter that holds them; None: they are in a checkpoint or on the hub."""
    hub_id: str | None = None
    revision: str | None = None
    """Of the repository on the hub."""
    note: str = ""
    """A sentence if it is not obvious which weights are meant: those of an unfinished run."""

    in_checkpoint: int | None = None
    """The step of a checkpoint that holds the same weights, if they are a run's and there is one."""

    @property
    def is_checkpoint(self) -> bool:
        """Whether the weights are in a checkpoint of a run."""
        return self.step is not None

    @property
    def checkpoint(self) -> Path:
        """The directory of the checkpoint."""
        assert self.run is not None, "a checkpoint belongs to a run"
        assert self.step is not None, "only for a checkpoint"
        return self.run / "checkpoints" / f"step-{self.step:08d}"

    def __str__(self) -> str:
        """Return where the weights are."""
        if self.is_checkpoint:
            return str(self.checkpoint)
        if self.result is not None:
            return str(self.result.path)
        return f"{self.hub_id}@{self.revision}" if self.revision else str(self.hub_id)


def find_weights(reference: str | Path, key: str = "RUN") -> Weights:
    """Return what a reference stands for.

    An existing path is taken as it is, even if its name contains an "@".

    Args:
        reference: a run directory, optionally followed by one of ``FORMS``; a directory with a model or a PEFT
            adapter; a directory of a checkpoint; or a hub id, optionally followed by "@" and a revision.
        key: the argument, option or key of the spec that it was given for, for messages.

    Raises:
        MftError: there is nothing of the kind. The message lists the steps or tasks that there are.
    """
    text = str(reference)
    path, selector = _split(text)
    if path is None:
        return _on_the_hub(text, key)
    path = path.expanduser().absolute()
    if step := _STEP_DIRECTORY.fullmatch(path.name):
        run = path.parent.parent
        if path.parent.name == "checkpoints" and (run / "spec.json").is_file():
            _refuse_selector(text, selector, key)
            return Weights(text, run, int(step[1]), in_checkpoint=int(step[1]))
    if not _is_run(path):
        _refuse_selector(text, selector, key)
        return _in_directory(text, path, key)
    if (path / "runs").is_dir() and (path / "state.json").is_file():
        raise MftError(f"{key}: {path} is a comparison; give one of the runs in {path / 'runs'}")
    return _Run(path, text, key).select(selector)


def _split(text: str) -> tuple[Path | None, str]:
    """Return the directory that a reference begins with, None if there is none, and what follows the "@"."""
    at = [len(text), *(match.start() for match in reversed(list(re.finditer("@", text))))]
    for end in at:
        path = Path(text[:end] or "/nonexistent").expanduser()
        if path.is_dir():
            return path, text[end + 1 :] if end < len(text) else ""
        if path.exists():
            raise MftError(f"{path} is a file; give a directory or a hub id")
    return None, ""


def _on_the_hub(text: str, key: str) -> Weights:
    name, _, revision = text.partition("@")
    # "runs/typo" is no organization on the hub if there is a directory "runs".
    local = "/" not in name or Path(name).parent.is_dir()
    if local or not is_hub_id(name) or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        near = _similar_directory(name)
        raise MftError(
            f"{key}: there is no directory {Path(name).expanduser().absolute()}{near}; give a run directory, "
            f"optionally with {FORMS}, a directory with a model or an adapter, or a hub id (organization/name)"
        )
    return Weights(text, hub_id=name, revision=revision or None)


def _similar_directory(name: str) -> str:
    parent = Path(name).expanduser().absolute().parent
    if not parent.is_dir():
        return ""
    close = nearest(Path(name).name, [entry.name for entry in parent.iterdir() if entry.is_dir()])
    return f" (did you mean {parent / close[0]}?)" if close else ""


def _refuse_selector(text: str, selector: str, key: str) -> None:
    if selector:
        raise MftError(
            f"{key}: {text}: only a run directory can be followed by {FORMS}, and this is no run directory"
        )


def _is_run(path: Path) -> bool:
    return (path / "spec.json").is_file()


def _in_directory(text: str, path: Path, key: str) -> Weights:
    try:
        result = find_result(path)
    except MftError as error:
        raise MftError(str(error).replace("RUN:", f"{key}:", 1)) from error
    return Weights(text, result.run, result=result)


def _saved_steps(checkpoints: Path) -> list[int]:
    """Return the steps with a checkpoint, as ``CheckpointStore`` does, without loading what reads checkpoints."""
    entries = checkpoints.iterdir() if checkpoints.is_dir() else ()
    found = (_STEP_DIRECTORY.fullmatch(entry.name) for entry in entries if entry.is_dir())
    return sorted(int(match[1]) for match in found if match)


class _Run:
    """A run directory that a reference names."""

    def __init__(self, path: Path, text: str, key: str) -> None:
        self._path, self._text, self._key = path, text, key
        self._model, self._best_directory = path / "model", path / "best"
        self._saved = _saved_steps(path / "checkpoints")
        metrics = MetricsFile(path / "metrics.jsonl").read()
        self._end = metrics.end
        self._by = best_by_of(path)
        self._scores = scores_by_step(self._by, metrics.valid, metrics.evaluations)
        self._has_lines = bool(metrics.train or metrics.valid)
        self._results = self._steps_of_results()

    def select(self, selector: str) -> Weights:
        """Return the weights that a selector stands for; "": the result, or else the newest checkpoint."""
        if not selector:
            return self._whole()
        if selector.isdecimal():
            return self._of_step(int(selector))
        kind, colon, task = selector.partition(":")
        if kind == BEST and colon:
            return self._best_of_task(task)
        if kind == LAST and not colon:
            return self._last()
        if kind == BEST and not colon:
            return self._best()
        close = nearest(kind, [LAST, BEST])
        meant = f"; did you mean @{close[0]}{colon}{task}?" if close else ""
        raise self._error(f"@{selector} is not known; a run directory can be followed by {FORMS}{meant}")

    def _whole(self) -> Weights:
        complete = not self._is_continued if self._end is None else self._end.is_complete
        if self._has_result and complete:
            return self._result(self._model)
        if not self._saved:
            raise self._error(
                "the run has neither model/ nor a checkpoint yet; let it train first (mft run "
                f"{self._path / 'spec.json'})"
            )
        step = self._saved[-1]
        note = f"the run has not finished: its newest checkpoint is used, of step {step}"
        return replace(self._of_step(step), note=note)

    @property
    def _has_result(self) -> bool:
        return any((self._model / name).is_file() for name in (ADAPTER_CONFIG, "config.json"))

    @property
    def _is_continued(self) -> bool:
        """Whether the run trained on after its result was written, because it was extended."""
        return self._end is None and self._has_lines and bool(self._saved)

    def _of_step(self, step: int) -> Weights:
        if step in self._saved:
            return Weights(self._text, self._path, step, in_checkpoint=step)
        if step in self._results:
            return self._result(self._results[step])
        raise self._error(f"there are no weights of step {step}; {self._kept()}")

    def _last(self) -> Weights:
        if self._end is not None and self._end.is_complete and self._end.step in self._results:
            return self._of_step(self._end.step)
        if not self._saved:
            raise self._error(f"the run has no checkpoint; {self._kept()}")
        return self._of_step(self._saved[-1])

    def _best(self) -> Weights:
        if self._end is not None and self._end.is_complete and self._has_result:
            return self._result(self._model)
        if not self._scores:
            raise self._error(f"the run has no validation of a trained model yet; {self._kept()}")
        mean = {step: fmean(scores.values()) if scores else inf for step, scores in self._scores.items()}
        return self._kept_best(_lowest(mean), f"the best by {best_by_text(self._by)}")

    def _best_of_task(self, task: str) -> Weights:
        in_index = self._best_index().get("tasks", {})
        if task in in_index and in_index[task].get("path"):
            return self._result(self._path / str(in_index[task]["path"]))
        tasks = sorted({name for scores in self._scores.values() for name in scores} | in_index.keys())
        if task not in tasks:
            close = nearest(task, tasks)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise self._error(
                f"no task {task or 'without a name'} was validated; tasks with validation: {', '.join(tasks) or 'none'}"
                f"{meant}"
            )
        of_task = {step: scores.get(task, inf) for step, scores in self._scores.items()}
        return self._kept_best(_lowest(of_task), f"the best of task {task}")

    def _result(self, directory: Path) -> Weights:
        step = next((step for step, place in self._results.items() if place == directory), None)
        return Weights(
            self._text,
            self._path,
            result=find_result(directory),
            in_checkpoint=step if step in self._saved else None,
        )

    def _kept_best(self, step: int, which: str) -> Weights:
        if step not in self._saved and step not in self._results:
            raise self._error(f"{which} is step {step}, whose weights were not kept; {self._kept()}")
        return self._of_step(step)

    def _best_index(self) -> JsonObject:
        try:
            return read_json_object(self._best_directory / "best.json")
        except (OSError, ValueError):
            return {}

    def _steps_of_results(self) -> dict[int, Path]:
        """Return the steps whose weights are in model/ or best/, with the directory of each."""
        index = self._best_index()
        entries = [*index.get("tasks", {}).values(), index.get("mean"), index.get("mean_rank")]
        found = {
            int(entry["step"]): self._path / str(entry["path"])
            for entry in entries
            if entry and entry.get("path") and (self._path / str(entry["path"])).is_dir()
        }
        if self._end is not None and self._end.is_complete and self._has_result:
            best = self._end.best_step
            found[self._end.step if best is None else best] = self._model
        return found

    def _kept(self) -> str:
        """Return a clause about the steps whose weights there are."""
        steps = sorted({*self._saved, *self._results})
        return (
            f"there are those of steps {', '.join(map(str, steps))}" if steps else "it has none of any step"
        )

    def _error(self, problem: str) -> MftError:
        return MftError(f"{self._key}: {self._path}: {problem}")


def _lowest(scores: Mapping[int, float]) -> int:
    """The step of the lowest score, the earlier of equal ones."""
    return min((score, step) for step, score in scores.items())[1]
