"""``mftkit.run`` from Python: rows given as objects, results as tables, and runs that are resumed or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest

import mftkit
from commands import mft
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError
from small_runs import metrics, rows, small_spec

TASKS = {"big": rows("big", 40), "small": rows("small", 20)}
QUICK = {"max_steps": 4, "evaluate_every": 2, "log_every": 1, "batch_size": 4, "micro_batch_size": 4}


SQUARED = """
import mftkit


@mftkit.hookimpl
def register_losses(register):
    register("squared", Squared, summary="of a test")


class Squared(mftkit.Loss):
    linear = True

    def statistics(self, tokens):
        sums = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return sums.index_add(0, tokens.task, tokens.logprobs.square().unsqueeze(1))

    def task_losses(self, totals):
        return totals.statistics[:, 0] / totals.tokens.clamp(min=1)
"""


def spec(**changes: Any) -> dict[str, Any]:
    """A spec without tasks: those are given."""
    made = small_spec(training=QUICK, max_length=64, **changes)
    del made["tasks"]
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("python")


@pytest.fixture(scope="module")
def result(project: Path) -> mftkit.RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        data = {
            "big": pd.DataFrame(TASKS["big"]),
            "small": {"train": TASKS["small"][:15], "valid": TASKS["small"][15:]},
        }
        return mftkit.run(spec(), data=data, progress=False)


def test_the_result_is_the_outcome_and_what_is_on_disk(project: Path, result: mftkit.RunResult) -> None:
    assert (result.reason, result.step, result.is_complete, result.error) == ("finished", 4, True, None)
    assert result.path == project / "run"
    lines = metrics(result.path)
    valid = [line for line in lines if line["event"] == "valid"]
    frame = result.metrics
    assert list(frame.columns[:4]) == ["event", "step", "epoch", "loss"]
    assert list(zip(frame.event, frame.step, strict=True)) == [
        (line["event"], line["step"]) for line in lines if line["event"] != "end"
    ]
    for task in ("big", "small"):
        losses = {line["step"]: line["tasks"][task]["loss"] for line in valid}
        assert frame[frame.event == "valid"][f"tasks.{task}.loss"].tolist() == list(losses.values())
        step, loss = result.best[task]
        assert loss == min(loss for step, loss in losses.items() if step) == losses[step]
    long = result.task_metrics
    assert len(long) == 2 * len(frame)
    assert long[(long.event == "train") & (long.task == "big")].weight.tolist() == [1.0] * 4
    assert result.plan.steps == 4
    assert [task.name for task in result.plan.tasks] == ["big", "small"]
    model, tokenizer = result.model()
    assert tokenizer is not None
    assert model(**tokenizer("def f", return_tensors="pt")).logits.ndim == 3
    assert result.report() == result.path / "report.html"
    html = result._repr_html_()
    assert f"{result.best['big'].loss:.4f}" in html
    again = mftkit.open_run(result.path)
    assert (again.reason, again.best) == ("finished", result.best)


def test_the_given_rows_make_the_runs_own_spec_runnable(project: Path, result: mftkit.RunResult) -> None:
    files = sorted(path.name for path in (project / "run/data").iterdir())
    assert [name.rsplit("-", 1)[0] for name in files] == ["big-train", "small-train", "small-valid"]
    [name] = [name for name in files if name.startswith("big")]
    assert [json.loads(line) for line in (project / "run/data" / name).read_text().splitlines()] == TASKS[
        "big"
    ]
    done = mft("run", "run/spec.json", "--set", f"output={project / 'copy'}", cwd=project)
    assert done.returncode == 0, done.stderr
    numbers = [
        [line["tasks"] for line in metrics(project / run) if "tasks" in line] for run in ("run", "copy")
    ]
    assert numbers[0] == numbers[1]


def test_equal_rows_resume_and_other_rows_are_refused(
    project: Path,
    result: mftkit.RunResult,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project)
    small = {"train": TASKS["small"][:15], "valid": datasets.Dataset.from_list(TASKS["small"][15:])}
    again = mftkit.run(spec(), data={"big": (row for row in TASKS["big"]), "small": small})
    assert (again.reason, again.best) == ("finished", result.best)
    shown = capsys.readouterr()
    assert "holds this spec's finished run" in shown.err
    assert shown.out == "", "standard output belongs to the script"
    before = sorted((project / "run/data").iterdir())
    with pytest.raises(MftError, match="training data changed") as caught:
        mftkit.run(spec(), data={"big": TASKS["big"][1:], "small": small})
    assert "fresh=True" in str(caught.value)
    assert "--fresh" not in str(caught.value)
    assert sorted((project / "run/data").iterdir()) == before


def test_starting_over_leaves_no_earlier_rows(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    short = spec(output="again")
    short["training"] = {**short["training"], "max_steps": 1}
    (project / "again/data").mkdir(parents=True)
    (project / "again/data/own-notes.jsonl").write_text("{}")
    for rows_given in (TASKS, {"big": TASKS["big"][5:]}):
        assert mftkit.run(short, data=rows_given, fresh=True, progress=False).step == 1
    names = sorted(path.name.rpartition("-")[0] for path in (project / "again/data").iterdir())
    assert names == ["big-train", "own"]


def test_errors_name_the_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        MftError, match=r"data: tasks\.0\.name: is used in file names.*\n.*overrides: training\.epochz"
    ) as caught:
        mftkit.run(spec(), data={"a/b": TASKS["big"]}, overrides={"training.epochz": 3})
    assert "--set" not in str(caught.value)
    with pytest.raises(MftError, match="^overrides a..b=3: expected"):
        mftkit.run(spec(), data=TASKS, overrides=["a..b=3"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": TASKS["big"]}, "data: expected rows by task"),
        ({"data": pd.DataFrame(TASKS["big"])}, "data: expected rows by task"),
        ({"data": TASKS, "plugins": "my_loss.py"}, "plugins: should be a list"),
        ({"data": TASKS, "callbacks": mftkit.Callback}, "callbacks: should be a list"),
        ({"spec": 42}, "spec: should be a path"),
    ],
)
def test_arguments_of_the_wrong_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"spec": spec(), "progress": False} | arguments
    with pytest.raises(MftError, match=message):
        mftkit.run(**given)


def test_an_event_that_does_not_exist_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(mftkit.Callback):
        def on_validation_ends(self, run: mftkit.RunInfo) -> None: ...

    monkeypatch.chdir(tmp_path)
    message = "callback Late: on_validation_ends is never called; did you mean on_validation_end"
    with pytest.warns(mftkit.MftWarning, match=message), pytest.raises(MftError, match="no such file"):
        mftkit.run("missing.json", data=TASKS, callbacks=[Late()], progress=False)


def test_a_dry_run_writes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    planned = mftkit.run(
        spec(output="dry"), data=TASKS, dry_run=True, overrides={"training.max_steps": 3}, reporter=Reporter()
    )
    assert (planned.reason, planned.plan.steps) == ("planned", 3)
    assert not (project / "dry").exists()
    assert "3 steps" in planned._repr_html_()
    with pytest.raises(MftError, match="dry run"):
        planned.metrics  # noqa: B018
    with pytest.raises(MftError, match="a dry run has no model"):
        planned.model()


def test_tasks_are_those_of_the_spec(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    named = spec(output="named") | {
        "tasks": [{"name": "big", "valid": 0.2}, {"name": "small", "generator": "x"}]
    }
    with pytest.raises(MftError, match="no task 'smal'; its tasks are big, small; did you mean 'small'"):
        mftkit.run(named, data={"big": TASKS["big"], "smal": TASKS["small"]})
    (project / "spec.json").write_text(json.dumps(named))
    planned = mftkit.run("spec.json", data=TASKS, dry_run=True, progress=False)
    assert [task.valid_samples for task in planned.plan.tasks] == [8, 1]
    with pytest.raises(MftError, match=r"tasks\.1"):
        mftkit.run("spec.json", data={"big": TASKS["big"]}, dry_run=True)
    assert not (project / "named").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], r"data\['big'\], train rows: there are no rows"),
        ([{"promt": "a"}], r"^data\['big'\], train rows, row 1: .*keys given: 'promt'"),
        ("rows.jsonl", "is a path; name files in the spec"),
        ([1], "row 1: expected a mapping .*, not int"),
        ([{"prompt": "a", "weight": float("nan")}], "row 1, key weight: nan is not a number"),
        ([{"prompt": "a"}, {"meta": [{"x": {1, 2}}]}], r"row 2, key meta\.0\.x: a value of type set"),
        ([{1: "a"}], "row 1: the key 1 is not a string"),
        ({"prompt": ["a"]}, "the parts train and valid; it has prompt.*Dataset.from_dict"),
        ({"train": [{}], "test": [{}]}, "it has train, test. Leave out the others"),
        (7, "not int"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named a"),
    ],
)
def test_rows_that_cannot_be_used(
    data: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MftError, match=message):
        mftkit.run(spec(), data={"big": data})
    assert not (tmp_path / "run").exists()


def test_values_of_tables_become_json(tmp_path: Path) -> None:
    from mftkit.tools.api.json_rows import json_rows

    frame = pd.DataFrame(
        {
            "text": ["a", None],
            "count": [np.int64(3), 4],
            "weight": [np.nan, 0.5],
            "when": pd.to_datetime(["2026-01-02", None]),
            "kind": pd.Categorical(["x", None]),
            "whole": pd.array([1, pd.NA], dtype="Int64"),
            "turns": [np.array([{"role": "user", "extra": None}], dtype=object), [np.float32(0.5), None]],
        }
    )
    assert list(json_rows(frame, "rows")) == [
        {
            "text": "a",
            "count": 3,
            "when": "2026-01-02T00:00:00",
            "kind": "x",
            "whole": 1,
            "turns": [{"role": "user"}],
        },
        {"count": 4, "weight": 0.5, "turns": [0.5, None]},
    ]
    of_list = [
        {
            "text": None,
            "n": np.int8(1),
            "flag": np.bool_(True),
            "t": np.datetime64("2026-01-02"),
            "p": Path("x"),
        }
    ]
    assert list(json_rows(of_list, "rows")) == [
        {"text": None, "n": 1, "flag": True, "t": "2026-01-02", "p": "x"}
    ]
    table = datasets.Dataset.from_list([{"a": 1, "b": {"c": None, "d": "x"}}, {"a": None, "b": None}])
    assert list(json_rows(table, "rows")) == [{"a": 1, "b": {"d": "x"}}, {}]
    assert list(json_rows(table.with_format("arrow")[:], "rows")) == [{"a": 1, "b": {"d": "x"}}, {}]


def test_plugins_and_callbacks_given_in_python(
    project: Path, monkeypatch: pytest.MonkeyPatch, result: mftkit.RunResult
) -> None:
    monkeypatch.chdir(project)

    class SquareLoss(mftkit.Loss):
        """A loss of this test."""

        linear = True

        def statistics(self, tokens: mftkit.Tokens) -> Any:
            sums = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
            return sums.index_add(0, tokens.task, tokens.logprobs.square().unsqueeze(1))

        def task_losses(self, totals: mftkit.Totals) -> Any:
            return totals.statistics[:, 0] / totals.tokens.clamp(min=1)

    class StopAt(mftkit.Callback):
        steps: list[int] = []

        def on_step_end(self, run: mftkit.RunInfo, step: int, metrics: dict[str, Any]) -> None:
            self.steps.append(step)
            if step == 2:
                run.stop("enough")

    for callback in (StopAt, StopAt()):
        stopped = mftkit.run(
            spec(output=f"stopped-{len(StopAt.steps)}", loss="square-loss"),
            data=TASKS,
            plugins=[SquareLoss],
            callbacks=[callback],
            progress=False,
        )
        assert (stopped.reason, stopped.step, stopped.is_complete) == ("finished", 2, True)
        assert stopped.stopped_by is not None
        assert "enough" in stopped.stopped_by
        assert mftkit.open_run(stopped.path).stopped_by == stopped.stopped_by
    assert StopAt.steps == [1, 2, 1, 2]
    (project / "elsewhere").mkdir()
    (project / "elsewhere" / "spec.json").write_text(json.dumps(spec(output="file", loss="squared")))
    (project / "squared.py").write_text(SQUARED)
    planned = mftkit.run(
        "elsewhere/spec.json", data=TASKS, plugins=["squared.py"], dry_run=True, progress=False
    )
    assert planned.plan.components["loss"].startswith("squared")
    with pytest.raises(MftError, match=r"callbacks.*(unknown|stopp)"):
        mftkit.run(spec(output="other"), data=TASKS, callbacks=["stopp"], dry_run=True, progress=False)
    with pytest.raises(MftError, match="object is not a mftkit.Callback"):
        mftkit.run(spec(output="other"), data=TASKS, callbacks=[object()], dry_run=True, progress=False)  # type: ignore[list-item]
