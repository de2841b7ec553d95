"""``mftkit.compare``: train one spec in several ways, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.tools.api.given_data import given_files, load_given, override_texts
from mftkit.tools.api.html import table
from mftkit.tools.api.progress import shown
from mftkit.tools.api.run_result import RunResult, open_run
from mftkit.tools.compare.arms import BudgetUnit, CompareOptions, parse_baselines
from mftkit.tools.compare.compare import compare as compare_arms
from mftkit.tools.compare.compare import comparison_path
from mftkit.tools.compare.page import report_comparison
from mftkit.tools.compare.result import NOT_STARTED
from mftkit.tools.compare.rows import effect_texts, table_rows
from mftkit.tools.compare.settings import grid, variant
from mftkit.tools.merging.options import MergeOptions
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from signal import Signals

    import pandas as pd

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.api.given_data import Files, Overrides, SpecSource, TaskData
    from mftkit.tools.compare.result import ComparisonResult


@dataclass(frozen=True)
class CompareResult:
    """A comparison that ended or was stopped."""

    path: Path
    """Its directory."""
    comparison: ComparisonResult = field(repr=False)
    """The content of compare.json."""
    signal: Signals | None = None
    """The signal that stopped it; None if every run has ended."""

    @property
    def is_complete(self) -> bool:
        """True if every arm has all its runs."""
        return self.comparison.complete

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per arm, seed and task: its lowest validation loss, the step of it, and the loss of the run's model.

        Losses are in nats per token, and missing for runs that have not reached their end.
        """
        import pandas as pd

        rows = [
            {
                "arm": arm.label,
                "seed": seed,
                "task": task,
                "loss": arm.losses[task][i],
                "step": arm.at_step[task][i],
                "model_loss": arm.model_losses[task][i],
            }
            for arm in self.comparison.arms
            for i, seed in enumerate(self.comparison.seeds)
            if i < len(arm.mean_by_seed)  # a soup is one model of all seeds: it stands with the first
            for task in self.comparison.tasks
        ]
        return pd.DataFrame(rows).astype({"loss": "float64", "step": "Int64", "model_loss": "float64"})

    @property
    def table(self) -> pd.DataFrame:
        """Mean lowest validation loss over seeds: one row per task, one column per arm."""
        means = self.metrics.pivot_table(
            index="task", columns="arm", values="loss", aggfunc="mean", dropna=False
        )
        return means.reindex(index=self.comparison.tasks, columns=[arm.label for arm in self.comparison.arms])

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """One row per arm, seed, task and metric: its value in the last evaluation of the arm's models."""
        import pandas as pd

        rows = [
            {"arm": arm.label, "seed": seed, "task": task, "metric": metric, "value": value}
            for arm in self.comparison.arms
            for task, metrics in arm.metrics.items()
            for metric, values in metrics.items()
            for seed, value in zip(
                self.comparison.seeds, values, strict=False
            )  # a soup stands with the first
        ]
        columns = ["arm", "seed", "task", "metric", "value"]
        return pd.DataFrame(rows, columns=columns).astype({"value": "float64"})

    @cached_property
    def paired(self) -> pd.DataFrame:
        """The paired tests of other arms against the reference over the rows of tasks, one per row."""
        import pandas as pd

        return pd.DataFrame([asdict(test) for test in self.comparison.paired])

    @property
    def best(self) -> str | None:
        """The arm with the lowest mean rank; None if no arm is complete."""
        return self.comparison.noise.best

    @property
    def verdict(self) -> str:
        """What the noise of the seeds allows to say, in a sentence or two."""
        return self.comparison.noise.summary

    @property
    def never_acted(self) -> list[str]:
        """A sentence on each arm whose change had no effect."""
        return effect_texts(self.comparison)

    @property
    def runs(self) -> dict[str, list[RunResult]]:
        """The runs of each arm that have begun, seed by seed."""
        return {
            arm.label: [open_run(self.path / run.directory) for run in arm.runs if run.state != NOT_STARTED]
            for arm in self.comparison.arms
        }

    def report(self) -> Path:
        """Write compare.html from compare.json and the runs, and return its path."""
        return report_comparison(self.path)

    def _repr_html_(self) -> str:
        headings = ["validation loss", *(arm.label for arm in self.comparison.arms)]
        rows = [
            [
                row.name,
                *(f"{cell}*" if best else cell for cell, best in zip(row.cells, row.best, strict=True)),
            ]
            for row in table_rows(self.comparison)
        ]
        lines = "".join(f"<p>{escape(text)}</p>" for text in [*self.never_acted, self.verdict])
        return table(headings, rows) + lines


def compare(
    spec: SpecSource,
    *,
    vary: Mapping[str, Sequence[object]] | None = None,
    arms: Mapping[str, Mapping[str, object]] | None = None,
    balancers: Iterable[str | JsonObject] = (),
    losses: Iterable[str | JsonObject] = (),
    baselines: Iterable[str] | None = None,
    mixed_loss: str | None = None,
    merged: Iterable[str | JsonObject] = (),
    soups: Iterable[str] = (),
    budget: str = "epochs",
    seeds: int = 1,
    output: str | Path | None = None,
    data: Mapping[str, TaskData] | None = None,
    overrides: Overrides = (),
    plugins: Sequence[object] = (),
    fresh: bool = False,
    progress: bool = True,
    reporter: Reporter | None = None,
) -> CompareResult:
    """Train a spec in several ways, everything else being equal, or resume that.

    Args:
        spec: as for ``mftkit.run``.
        vary: values of keys to try: ``{"training.learning_rate": [1e-5, 3e-5]}``; several keys give all combinations.
        arms: more arms by name, each with the keys that it changes: ``{"long": {"training.epochs": 3}}``.
        balancers: balancers to try with the spec's loss: names, or ``{"name": ..., "options": {...}}``.
        losses: losses to try with the spec's balancer.
        baselines: "single" and "mixed"; None: both, or none with ``vary`` or ``arms``.
        mixed_loss: the loss of the baseline "mixed"; None: the one that is plain cross-entropy.
        merged: merges of the single models of a seed: "arithmetic", "ties", "dare", or ``{"method": ..., ...}``.
        soups: labels of arms whose models of all seeds are averaged.
        budget: of a model of a single task: "epochs" or "steps".
        seeds: number of seeds per arm; with one, noise is not measured.
        output: the directory; by default beside the spec's output, with "-compare" after its name.
        data: rows by task, as for ``mftkit.run``; they are saved in ``output``.
        overrides: changes of the spec for all arms, as for ``mftkit.run``.
        plugins: as for ``mftkit.run``.
        fresh: start over.
        progress: as for ``mftkit.run``.
        reporter: receives messages and progress instead.

    Raises:
        MftError: something that the user can fix; what is finished is kept.
    """
    wish = (baselines, balancers, losses, mixed_loss, budget, vary or {}, arms or {}, merged, soups)
    options = _options(*wish)
    _check_seeds(seeds)
    changes, target = override_texts(overrides), None if output is None else Path(output)
    place = partial(comparison_path, output=target)
    with (
        given_files(spec, data, changes, plugins, place, fresh=fresh) as files,
        shown(progress, reporter) as display,
    ):
        load = partial(_load, spec, changes, files, plugins)
        done = compare_arms(
            load([]), options, seeds=seeds, output=target, fresh=fresh, reporter=display, load=load
        )
    return CompareResult(done.path, done.result, done.signal)


def _load(
    source: SpecSource, changes: list[str], files: Files | None, plugins: Sequence[object], more: list[str]
) -> Spec:
    """The spec with the changes of all arms and then those of one."""
    return load_given(source, [*changes, *more], files, plugins)


def _options(
    baselines: Iterable[str] | None,
    balancers: Iterable[str | JsonObject],
    losses: Iterable[str | JsonObject],
    mixed_loss: str | None,
    budget: str,
    vary: Mapping[str, Sequence[object]],
    arms: Mapping[str, Mapping[str, object]],
    merged: Iterable[str | JsonObject],
    soups: Iterable[str],
) -> CompareOptions:
    if not isinstance(vary, Mapping) or any(
        isinstance(values, str) or not isinstance(values, Sequence) for values in vary.values()
    ):
        raise MftError(
            'vary: should be a dict from keys to lists of values, such as {"training.learning_rate": [1e-5, 3e-5]}'
        )
    if not isinstance(arms, Mapping) or not all(isinstance(settings, Mapping) for settings in arms.values()):
        raise MftError(
            'arms: should be a dict from names to changed keys, such as {"longer": {"training.epochs": 3}}'
        )
    return CompareOptions(
        baselines=None if baselines is None else parse_baselines(",".join(baselines)),
        balancers=_references(balancers),
        losses=_references(losses),
        mixed_loss=mixed_loss,
        budget=_budget(budget),
        vary=tuple(grid(vary, "vary")),
        arms=tuple(variant(settings, name, f"arms[{name!r}]") for name, settings in arms.items()),
        merged=_merges(merged),
        soups=tuple(soups),
    )


def _check_seeds(seeds: int) -> None:
    if seeds < 1:
        raise MftError(f"seeds: should be at least 1 (given: {seeds})")


def _merges(given: Iterable[str | JsonObject]) -> tuple[MergeOptions, ...]:
    found = [{"method": one} if isinstance(one, str) else dict(one) for one in given]
    return tuple(MergeOptions.from_json(one, "merged") for one in found)


def _references(given: Iterable[str | JsonObject]) -> tuple[JsonObject, ...]:
    return tuple({"name": one} if isinstance(one, str) else dict(one) for one in given)


def _budget(name: str) -> BudgetUnit:
    if name not in tuple(BudgetUnit):
        raise MftError(f"budget: expected {' or '.join(BudgetUnit)} (given: {name!r})")
    return BudgetUnit(name)
