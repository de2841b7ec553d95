"""Pages as text: what stands in them, whole or damaged, and that nothing in them is a stranger's markup."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from mftkit.cli import main
from mftkit.cli.report import write_page
from mftkit.pages import figures
from mftkit.runs.record import read_run
from mftkit.runs.series import MOST_POINTS, Series, thinned, validation_losses
from mftkit.tools.report.writing import report_run
from mftkit_registry import MftError
from written_runs import END, TASKS, lines, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", lines())


def page(path: Path) -> str:
    """A page without plotly, which is long."""
    html = path.read_text("utf-8")
    return html[: html.index("plotly.js v")]


def test_a_page_tells_results_plan_and_environment(run: Path) -> None:
    html = page(report_run(run))
    assert html.count('class="plot"') == 10
    for part in ("finished", "4.0000", "2.0100", "some-balancer", "1,000", "a note", "3.11"):
        assert part in html
    assert 'name="viewport"' in html
    assert "prefers-color-scheme: dark" in html


def test_every_plot_is_one_of_plotlys(run: Path) -> None:
    """By its Python classes, which know each property and its values."""
    html = page(report_run(run))
    plots = [
        json.loads(block)
        for block in re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    ]
    assert len(plots) == 10
    for plot in plots:
        known = go.Figure(plot).to_plotly_json()
        assert list(known["data"]) == plot["data"]
        assert known["layout"] == plot["layout"] | {"template": known["layout"]["template"]}
    rest = [plot["layout"]["yaxis"].keys() - {"automargin", "zeroline"} for plot in plots]
    assert [keys for keys in rest if keys] == [{"rangemode"}, {"exponentformat"}, {"rangemode", "tickformat"}]


def test_a_number_that_json_does_not_have_is_a_gap() -> None:
    drawn = figures.plot("a", "A", "a.", [figures.Curve(Series([1, 2, 3], [1.0, math.inf, math.nan]))])
    assert drawn is not None
    [trace] = json.loads(drawn.json)["data"]
    assert (trace["x"], trace["y"]) == ([1, 2, 3], [1.0, None, None])


def test_nothing_is_asked_of_a_network(run: Path) -> None:
    html = report_run(run).read_text("utf-8")
    assert not re.search(r"<(script|link|img|iframe)[^>]*\b(src|href)=", html)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "http" not in policy[1]


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    metrics = lines()
    end = {**END, "reason": "failed", "error": "<img src=x onerror=alert(1)>"}
    path = write_run(tmp_path / "run", metrics, end=end, name="</title><script>alert(2)</script>")
    other = write_run(tmp_path / "other", metrics, end=end, name="</script>")
    several = write_page([path, other], tmp_path / "several.html")
    for html in (page(report_run(path)), page(several)):
        assert "<script>alert" not in html
        assert "<img" not in html
        assert "&lt;script&gt;alert(1)" in html
        for block in re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL):
            assert "<" not in block
            names = [trace.get("name") for trace in json.loads(block)["data"]]
            assert TASKS[1] not in names  # plotly reads markup in names


def test_results_are_those_of_the_metrics(run: Path) -> None:
    record = read_run(run)
    found = validation_losses(record.valid, record.tasks)
    assert [one.name for one in found] == [*TASKS, "mean of tasks"]
    for index, one in enumerate(found[:-1]):
        assert (one.first, one.best, one.step, one.last) == pytest.approx(
            (4 + index, 2.01 + index, 100, 2.01 + index)
        )


def test_the_untrained_model_is_no_result(tmp_path: Path) -> None:
    metrics = [line for line in lines() if line["event"] == "valid"]
    metrics[0]["tasks"]["repair"]["loss"] = 0.5
    record = read_run(write_run(tmp_path / "run", metrics))
    found = validation_losses(record.valid, record.tasks)
    assert found[0].first == 0.5
    assert found[0].best == pytest.approx(2.01)


def test_a_run_that_resumes_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", lines(), end=None)
    whole = (path / "metrics.jsonl").read_text("utf-8")
    (path / "metrics.jsonl").write_text(whole.removesuffix("\n")[:-30], "utf-8")
    html = page(report_run(path))
    assert "not ended" in html
    assert "the last line of metrics.jsonl is cut off" in html
    assert "no end line" in html
    assert html.count('class="plot"') == 10


def test_damage_is_reported_and_the_rest_is_shown(run: Path) -> None:
    texts = (run / "metrics.jsonl").read_text("utf-8").split("\n")
    texts[4] = texts[4][:20]
    texts[8] = "\x00\x00"
    texts[9] = '{"event": "train", "step": 5, "loss": 1, "tasks": {"repair": 3}}'
    (run / "metrics.jsonl").write_text("\n".join(texts), "utf-8")
    (run / "environment.json").write_text("{", "utf-8")
    (run / "plan.json").unlink()
    html = page(report_run(run))
    assert "3 damaged lines were left out (line 5, 9, 10)" in html
    assert "environment.json cannot be read" in html
    assert "finished" in html


def test_a_run_without_numbers_yet(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", [], end=None)
    (path / "metrics.jsonl").unlink()
    html = page(report_run(path))
    assert "not reported any numbers" in html
    assert "There are no validation losses yet" in html


def test_one_task_without_validation(tmp_path: Path) -> None:
    metrics = [line for line in lines(tasks=("only",)) if line["event"] == "train"]
    html = page(report_run(write_run(tmp_path / "run", metrics)))
    assert html.count('class="plot"') == 8  # the weight of the only task does not move


def test_long_runs_are_thinned_and_it_is_said(tmp_path: Path) -> None:
    metrics = lines(steps=4000, every=1000)
    kept, stride = thinned([line["step"] for line in metrics if line["event"] == "train"])
    assert (len(kept), stride, kept[0], kept[-1]) == (1334, 3, 1, 4000)
    assert len(kept) <= MOST_POINTS
    assert "Every 3th line is drawn" in page(report_run(write_run(tmp_path / "run", metrics)))


def test_several_runs_side_by_side(run: Path, tmp_path: Path) -> None:
    better = write_run(tmp_path / "better", lines(shift=-0.5), name="better")
    out = tmp_path / "two.html"
    assert main(["report", str(run), str(better), "--output", str(out)]) == 0
    html = page(out)
    assert "2 runs side by side" in html
    assert '<td class="best">1.5100' in html
    assert html.count('class="plot"') == len(TASKS) + 2 * 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: no such directory"),
        (["."], "holds no run"),
        (["run", "run"], "--output: required"),
        (["run", "--output", "run"], "is a directory"),
    ],
)
def test_mistakes(
    arguments: list[str],
    message: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run.parent)
    assert main(["report", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_comparison_is_reported(tmp_path: Path) -> None:
    (tmp_path / "compare.json").write_text('{"name": "x"}')
    with pytest.raises(MftError, match=r"compare.json is damaged"):
        write_page([tmp_path])


def test_a_page_is_made_without_torch(run: Path) -> None:
    code = f"import sys; from mftkit.cli import main; assert main(['report', {str(run)!r}]) == 0; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{run / 'report.html'}\n"


def test_a_report_that_fails_takes_nothing_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mftkit.processes import Processes
    from mftkit.reporting.outcome import Outcome
    from mftkit.runs.directory import RunDirectory
    from mftkit.tools import run_ending
    from mftkit.training.failure_exchange import FailureExchange
    from recorder import Recorder

    def broken(*_: Any) -> None:
        raise ValueError("no page")

    monkeypatch.setattr(run_ending, "report_run", broken)
    listener, processes = Recorder(), Processes()
    exchange = FailureExchange(processes, listener.warn)
    run_ending.Ending(RunDirectory(tmp_path), processes, exchange, listener).write(Outcome("finished", 1, 1))
    assert listener.warnings == [
        "could not write report.html (the run itself is complete): ValueError: no page"
    ]


def test_what_the_balancer_reports_is_drawn(tmp_path: Path) -> None:
    metrics = lines()
    for line in metrics:
        if line["event"] == "train":
            line["balancer"] = {"temperature": 1 / line["step"], "<b>": None}
    html = page(report_run(write_run(tmp_path / "run", metrics)))
    assert html.count('class="plot"') == 11
    assert 'id="run-balancer" data-legend="run-balancer"' in html
    assert 'data-legend="run-balancer" data-group="0"' in html
    assert "<b>" not in html


def test_the_verdict_stands_before_everything_else(run: Path) -> None:
    html = page(report_run(run))
    assert html.index("Verdict") < html.index("<dt>step</dt>") < html.index("Results")
    assert "is lowest at step 99" not in html
    assert "The mean over tasks is lowest at step 100: 3.0100 nats per token" in html
    assert "still falls" in html


def test_page_and_terminal_name_the_same_best(run: Path) -> None:
    from mftkit.display.result import result_view
    from mftkit.display.tables import as_text
    from mftkit.reporting.outcome import Outcome

    terminal = as_text(result_view(run, Outcome("finished", 100, 100)))
    assert "from step 100, best by mean validation loss (3.0100)" in terminal
    assert "<dd>100, loss 3.0100</dd>" in page(report_run(run))


def test_a_model_that_is_not_of_the_best_step_is_named(tmp_path: Path) -> None:
    html = page(report_run(write_run(tmp_path / "run", lines(), end={**END, "best_step": None})))
    assert "<dt>model/ is of step</dt><dd>100</dd>" in html


def test_weights_that_do_not_move_are_a_fact_and_no_plot(tmp_path: Path) -> None:
    metrics = lines()
    for line in metrics:
        for task in line["tasks"].values() if line["event"] == "train" else ():
            task["weight"] = 0.5
    html = page(report_run(write_run(tmp_path / "run", metrics)))
    assert html.count('class="plot"') == 9
    assert "<dt>weights of tasks, constant</dt><dd>0.5 each</dd>" in html


def test_ties_of_several_runs_have_no_mark(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", lines(shift=-0.01), name="other")
    html = page(write_page([run, other], tmp_path / "two.html"))
    assert 'class="best"' not in html
    assert "could explain the difference" in html
