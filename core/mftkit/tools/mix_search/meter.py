"""Measures merged specialists: one model in memory, whose weights are changed for each candidate."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.data.corpus import prepare_validation
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.models.result import find_result
from mftkit.reporting.reporter import Reporter
from mftkit.runs.base_checkpoint import base_fingerprint
from mftkit.tools.compare.planning import samples_digest
from mftkit.tools.evaluate.evaluate import evaluate_measured
from mftkit.tools.merging.merging import ToMerge, merge_models
from mftkit.tools.merging.options import MergeOptions
from mftkit.tools.merging.weighted import WeightedAdapter, WeightedModel, WeightedWhole
from mftkit.tools.mix_search.options import LOSS
from mftkit.tools.validation_losses import load_measured
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec
    from mftkit.tools.mix_search.shares import Shares


@dataclass(frozen=True)
class Measured:
    """What was measured of one model."""

    losses: dict[str, float]
    """Task to validation loss, nats per token."""
    metrics: dict[str, dict[str, JsonObject]]
    """Task to metrics by "EVALUATOR/METRIC", as in evaluation.json."""


class Meter:
    """The specialists of one seed, merged in memory. A context manager."""

    def __init__(
        self,
        spec: Spec,
        runs: Sequence[Path],
        place: Path,
        evaluation: Path,
        by: str,
        reporter: Reporter,
        *,
        reads_first: bool,
    ) -> None:
        """Load them.

        Args:
            spec: names tasks, data and dtype.
            runs: run directories in the order of the tasks.
            place: receives the sum of adapters, if the specialists are adapters.
            evaluation: receives answers, if metrics are measured.
            by: what decides: metrics are measured only if it is one.
            reporter: receives notes and progress.
            reads_first: whether nothing else has read the data and reported what is wrong with it.

        Raises MftError for models that cannot be merged or measured.
        """
        self._spec, self._evaluation, self._reporter = spec, evaluation, reporter
        self._evaluates = by != LOSS
        self._stack = ExitStack()
        places = [find_result(run).path for run in runs]
        adapters = [find_result(run).config is not None for run in runs]
        if any(adapters):
            merge_models(ToMerge(runs, MergeOptions(weight=1.0), spec.seed), place, reporter)
        self._measured = load_measured(spec, place if any(adapters) else places[0], reporter)
        self._samples = prepare_validation(
            spec, self._measured.tokenizer, reporter if reads_first else Reporter()
        )
        lacking = [task.name for i, task in enumerate(spec.tasks) if not (self._samples.task == i).any()]
        if lacking:
            raise MftError(f"tasks[].valid: {', '.join(lacking)} has no validation samples; set valid for it")
        model = self._measured.model
        self._merged: WeightedModel = (
            WeightedAdapter(model, places)
            if any(adapters)
            else WeightedWhole(model, places, self._stack, reporter)
        )
        files = [base_fingerprint(each) for each in places]
        what = [files, samples_digest(self._samples), str(self._measured.precision)]
        self.identity = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
        """What measured numbers depend on, beside the spec: the weights, the samples and the arithmetic."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, shares: Shares) -> Measured:
        """Merge the specialists with these weights, and measure the model."""
        self._merged.use(shares)
        names = [task.name for task in self._spec.tasks]
        nll, tokens = self._measured.losses(self._samples, len(names))
        losses = {name: float(nll[i] / tokens[i]) for i, name in enumerate(names)}
        if not self._evaluates:
            return Measured(losses, {})
        weights = hashlib.sha256(f"{self.identity} {shares}".encode()).hexdigest()
        results = evaluate_measured(
            self._spec,
            self._measured,
            weights,
            self._reporter,
            output=self._evaluation,
            about={"merged": dict(zip(names, shares, strict=True))},
            tasks=[task.name for task in tasks_to_evaluate(self._spec)],
        )
        return Measured(losses, results.to_json())
