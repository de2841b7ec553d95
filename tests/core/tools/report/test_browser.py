"""The page in a real browser: what is drawn is what metrics.jsonl says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import browser
from mftkit.pages.colors import PALETTE
from mftkit.tools.report.writing import report_run
from written_runs import TASKS, lines, write_run

pytestmark = pytest.mark.skipif(browser.found() is None, reason="no Chromium on this machine")

DRAWN = r"""
return Object.fromEntries([...document.querySelectorAll('.plot')].map((plot) => {
  const { xaxis, yaxis } = plot._fullLayout;
  const point = (x, y) => [xaxis.p2d(x), yaxis.p2d(y)];
  const pair = (text) => text.match(/-?\d[\d.]*(?:e[-+]?\d+)?/g).map(Number);
  const traces = [...plot.querySelectorAll('.scatterlayer .trace')].map((trace) => {
    const line = trace.querySelector('path.js-line');
    const dots = [...trace.querySelectorAll('path.point')].map((dot) => point(...pair(dot.getAttribute('transform'))));
    const drawn = line.getAttribute('d').slice(1).split('L');
    return {
      name: trace.__data__[0].trace.name,
      colour: getComputedStyle(line).stroke,
      points: dots.length ? dots : drawn.every((p) => /^[-0-9.e,]+$/.test(p)) ? drawn.map((p) => point(...pair(p))) : [],
    };
  });
  return [plot.id, traces];
}));
"""
LOOK = """
const box = (node) => node.getBoundingClientRect();
const name = document.querySelector('tbody th');
return {
  page: document.documentElement.scrollWidth - innerWidth,
  wide: [...document.querySelectorAll('.plot')].filter((plot) => box(plot.querySelector('svg')).right > box(plot).right + 1).length,
  columns: new Set([...document.querySelectorAll('figure')].map((figure) => box(figure).left)).size,
  background: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(document.body).color,
  plotted: getComputedStyle(document.querySelector('.xtick text')).fill,
  alerts: document.querySelectorAll('main script:not([type])').length,
  narrow: Math.max(...[...document.querySelectorAll('tbody th')].map((name) => box(name).width / innerWidth)),
  scrolls: [...document.querySelectorAll('.scroll')].some((table) => table.scrollWidth > table.clientWidth),
  named: document.querySelectorAll('tbody tr')[1].querySelector('th').textContent,
};
"""


@pytest.fixture(scope="module")
def metrics() -> list[dict[str, Any]]:
    return lines()


@pytest.fixture(scope="module")
def page(metrics: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_run(write_run(tmp_path_factory.mktemp("page") / "run", metrics))


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))


def of_task(metrics: list[dict[str, Any]], event: str, task: str, key: str) -> list[tuple[float, float]]:
    found = [(line["step"], line["tasks"][task][key]) for line in metrics if line["event"] == event]
    return [(x, y) for x, y in found if y is not None]


def same(drawn: list[list[float]], expected: list[tuple[float, float]]) -> None:
    """To a hundredth of a pixel, which is what plotly rounds to."""
    assert len(drawn) == len(expected)
    reach = max(y for _, y in expected) - min(y for _, y in expected) or 1.0
    for (x, y), (true_x, true_y) in zip(drawn, expected, strict=True):
        assert math.isclose(x, true_x, abs_tol=0.02)
        assert math.isclose(y, true_y, abs_tol=2e-3 * reach)


def test_what_is_drawn_is_what_was_measured(page: Path, metrics: list[dict[str, Any]]) -> None:
    plots = browser.read_back(page, DRAWN)
    assert len(plots) == 10
    for plot, event, key in (("run-valid-loss", "valid", "loss"), ("run-train-loss", "train", "loss")):
        for index, task in enumerate(TASKS):
            trace = plots[plot][index]
            assert trace["colour"] == rgb(PALETTE[index])
            same(trace["points"], of_task(metrics, event, task, key))
    same(
        plots["run-valid-loss"][3]["points"],
        [(v["step"], v["loss"]) for v in metrics if v["event"] == "valid"],
    )
    train = [line for line in metrics if line["event"] == "train"]
    for plot in ("learning_rate", "grad_norm", "tokens_per_second", "loss"):
        [trace] = plots[f"run-{plot.replace('_', '-')}"]
        same(trace["points"], [(line["step"], line[plot]) for line in train])
    for index, task in enumerate(TASKS):
        for key in ("tokens", "samples"):
            each = [line["tasks"][task][key] for line in train]
            sums = [(line["step"], sum(each[: i + 1])) for i, line in enumerate(train)]
            same(plots[f"run-{key}"][index]["points"], sums)
        assert plots["run-weight"][index]["colour"] == rgb(PALETTE[index])


@pytest.mark.parametrize(("width", "columns"), [(1300, 2), (390, 1)])
def test_it_fits_a_phone_and_a_desk(page: Path, width: int, columns: int) -> None:
    seen = browser.read_back(page, LOOK, f"--window-size={width},900")
    assert seen["page"] <= 0
    assert seen["wide"] == 0
    assert seen["columns"] == columns
    assert seen["alerts"] == 0
    assert seen["narrow"] < 0.45
    assert seen["scrolls"] == (width < 600)
    assert seen["named"] == TASKS[1]


def test_dark_mode_reaches_the_plots(page: Path) -> None:
    light = browser.read_back(page, LOOK, "--blink-settings=preferredColorScheme=1")
    dark = browser.read_back(page, LOOK, "--blink-settings=preferredColorScheme=0")
    assert (light["background"], dark["background"]) == ("rgb(246, 247, 249)", "rgb(18, 22, 29)")
    assert light["ink"] != dark["ink"]
    assert light["plotted"] != dark["plotted"]


def test_a_name_of_the_legend_hides_its_curves(page: Path) -> None:
    clicked = f"document.querySelector('.legend button').click(); {DRAWN}"
    plots = browser.read_back(page, clicked)
    assert [len(plots[plot]) for plot in ("run-valid-loss", "run-train-loss", "run-weight")] == [3, 2, 2]
