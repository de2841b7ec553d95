"""MLflow."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, ClassVar

import mftkit

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit import RunInfo

STATUS = {"interrupted": "KILLED", "failed": "FAILED"}


class MLflow(mftkit.Tracker):
    """A run of MLflow, with the spec's values as its parameters.

    A resumed run reopens its MLflow run and skips the steps that are already in it.
    """

    packages: ClassVar[dict[str, str]] = {"mlflow": "mlflow-skinny"}

    class Options(mftkit.Options):
        """Options of the tracker."""

        tracking_uri: str | None = None
        """A server ("http://...") or a database ("sqlite:///..."); null: files in the run directory."""
        experiment: str = "mftkit"
        """The experiment that the run belongs to."""

    options: Options

    def start(self, run: RunInfo, directory: Path, step: int) -> None:  # noqa: ARG002  # the interface's
        """Start a run, or reopen the one that was started for this directory."""
        # MLflow 3.7 and later store runs in files only if this is set.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        import mlflow
        from accelerate.tracking import MLflowTracker

        store = directory / "store"
        mlflow.set_tracking_uri(self.options.tracking_uri or store.as_uri())
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "run"
        before = file.read_text(encoding="utf-8") if file.exists() else None
        self._tracker = MLflowTracker(
            self.options.experiment,
            None if self.options.tracking_uri else store.as_uri(),
            run_id=before,
            run_name=run.name,
        )
        self._tracker.start()
        identity = self._tracker.tracker.info.run_id
        self._logged = _newest_steps(identity) if before else {}
        if before is None:
            file.write_text(identity, encoding="utf-8")
            self._tracker.store_init_configuration(dict(_leaves("", run.spec)))

    def log(self, step: int, values: dict[str, float]) -> None:
        """Log metrics; those that the run already has at this step or a later one are skipped."""
        named = {_name(key): value for key, value in values.items()}
        new = {key: value for key, value in named.items() if step > self._logged.get(key, -1)}
        if new:
            self._tracker.log(new, step=step)

    def end(self, reason: str) -> None:
        """Finish with the status of MLflow that corresponds to the reason."""
        import mlflow

        mlflow.set_tag("mftkit.end", reason)
        mlflow.end_run(STATUS.get(reason, "FINISHED"))


def _newest_steps(run: str) -> dict[str, int]:
    """The last step of each metric that a run has."""
    import mlflow

    client = mlflow.MlflowClient()
    metrics = client.get_run(run).data.metrics
    return {key: max(metric.step for metric in client.get_metric_history(run, key)) for key in metrics}


def _name(key: str) -> str:
    """A metric's name in the characters that MLflow allows; a task's name may have others."""
    return re.sub(r"[^\w\-. :/]", "_", key)


def _leaves(prefix: str, value: object) -> list[tuple[str, object]]:
    """The values of a spec by path."""
    if not isinstance(value, dict | list):
        return [(_name(prefix), value)]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [leaf for key, item in inner for leaf in _leaves(f"{prefix}.{key}" if prefix else str(key), item)]
