"""Tables of what the evaluators measured: each metric by arm and task, and the paired tests over rows."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from results import Results, Table, short
from tasks import UNSEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05


def metric_tables(results: Results) -> list[Table]:
    """A table for each metric: arms by tasks, with the base before training."""
    about = {(each["task"], each["metric"]): each for each in results.comparison["metrics"]}
    metrics = dict.fromkeys(metric for _task, metric in about)
    return [_metric_table(results, metric, about) for metric in metrics]


def _metric_table(results: Results, metric: str, about: dict[tuple[str, str], Any]) -> Table:
    tasks = [task for task, name in about if name == metric]
    factor = 1 if about[tasks[0], metric]["scale"] != "share" else 100
    before = _base(results)
    rows = [["base", *(_spread([before.get((task, metric))], factor) for task in tasks)]]
    for arm in results.arms:
        values = [arm["metrics"].get(task, {}).get(metric, []) for task in tasks]
        rows.append([short(arm), *(_spread(each, factor) for each in values)])
    name = metric.partition("/")[2]
    questions = "RQ1, RQ2" + ("; unseen task: RQ3" if UNSEEN in tasks else "")
    return Table(
        f"Each task by each arm: {name} ({questions})",
        ["arm", *(f"{task} (unseen)" if task == UNSEEN else task for task in tasks)],
        rows,
        f"{'Percent' if factor == 100 else 'Points'}, mean ± standard deviation over seeds, of the weights after the "
        "last step. Of an unseen task, single is the mean of its models.",
    )


def _base(results: Results) -> dict[tuple[str, str], float | None]:
    """The metrics before the first step, the same for all runs, by task and metric."""
    found: dict[tuple[str, str], float | None] = {}
    for arm in results.arms:
        for run in arm["runs"]:
            for line in results.metrics(run):
                if line["event"] == "evaluation" and line["step"] == 0:
                    for task, metrics in line["tasks"].items():
                        for metric, point in metrics.items():
                            found.setdefault((task, metric), point["value"])
    return found


def _spread(values: Sequence[float | None], factor: int) -> str:
    known = [value * factor for value in values if value is not None]
    if not known:
        return "-"
    return f"{fmean(known):.1f}" + (f" ±{stdev(known):.1f}" if len(known) > 1 else "")


def paired_table(results: Results) -> list[Table]:
    """The paired tests of each arm, counted; none if there are none."""
    tests = results.comparison["paired"]
    if not tests:
        return []
    sign = {
        (each["task"], each["metric"]): 1 if each["higher_is_better"] else -1
        for each in results.comparison["metrics"]
    }
    rows = []
    for arm in results.arms:
        own = [test for test in tests if test["arm"] == arm["label"]]
        if own:
            least = min(own, key=lambda test: test["p"])
            rows.append(
                [
                    short(arm),
                    str(len(own)),
                    _counted([test for test in own if test["p"] < LEVEL], sign),
                    _counted(
                        [t for t in own if t["p_adjusted"] is not None and t["p_adjusted"] < LEVEL], sign
                    ),
                    f"{least['task']}, {least['metric'].partition('/')[2]}: p = {least['p']:.3g}",
                ]
            )
    return [
        Table(
            f"Paired tests against {tests[0]['reference']} on the same rows",
            ["arm", "tests", "better / worse, p < 0.05", "better / worse, corrected", "smallest p"],
            rows,
            "One test for each task and metric: McNemar's exact test where answers are right or wrong, else the paired "
            "bootstrap over rows. Corrected: by Holm for all tests of the comparison. compare.json has each test.",
        )
    ]


def _counted(tests: list[dict[str, Any]], sign: dict[tuple[str, str], int]) -> str:
    better = sum(test["difference"] * sign[test["task"], test["metric"]] > 0 for test in tests)
    return f"{better} / {len(tests) - better}"
