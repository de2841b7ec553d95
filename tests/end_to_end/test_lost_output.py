"""An output directory that is lost in mid-run ends the run, and a report that a kill prevented is written later."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.reporting.reporter import Reporter
from mftkit.tools.compare.arms import CompareOptions
from mftkit.tools.compare.compare import compare
from small_runs import metrics, rows, small_spec, write_rows


class Moves(mftkit.Callback[Any]):
    """Does something to the output directory after the validation of step 2."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def on_validation_end(self, run: Any, step: int, metrics: Any) -> None:
        if step == 2:
            self.act()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for task in ("big", "small"):
        write_rows(tmp_path / "data" / f"{task}.jsonl", rows(task, 40))
    return tmp_path


def spec(project: Path, **training: Any) -> Any:
    steps = {"max_steps": 6, "checkpoint_every": 3, "evaluate_every": 2, "log_every": 50, **training}
    return mftkit.load_spec(small_spec(output="run", training=steps), directory=project)


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_it_ends_the_run_and_nothing_is_written_without_the_rest(
    project: Path, how: str, asynchronous: bool
) -> None:
    run, away = project / "run", project / "away"

    def act() -> None:
        if how == "removed":
            shutil.rmtree(run)
        else:
            run.rename(away)
        if how == "replaced":
            run.mkdir()

    given = spec(project, asynchronous_checkpoints=asynchronous)
    with pytest.raises(
        mftkit.MftError, match=r"^output: .*run was moved or removed while this run wrote to it\."
    ):
        mftkit.run(given, callbacks=[Moves(act)])
    left = {entry.name for entry in run.iterdir()} if run.exists() else set()
    assert left <= {"log.txt"}
    if how == "moved":
        away.rename(run)
        assert mftkit.run(given).reason == "finished"
        assert [line["event"] for line in metrics(run)][-1] == "end"


class MovesOnce(Reporter):
    """Does something once the first step is counted, or else once a run has ended."""

    def __init__(self, act: Callable[[], object], *, between_runs: bool = False) -> None:
        self._acts, self._between_runs = [act], between_runs

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:
        is_of_a_run = description.endswith("seed 7") and not self._between_runs
        yield lambda _done: self._act() if is_of_a_run else None

    def note(self, message: str) -> None:
        if self._between_runs and "finished after step" in message:
            self._act()

    def _act(self) -> None:
        if self._acts:
            self._acts.pop()()


@pytest.mark.parametrize(("how", "between_runs"), [("moved", False), ("moved", True), ("removed", False)])
def test_it_ends_a_comparison_with_its_own_place(project: Path, how: str, between_runs: bool) -> None:
    """Not with that of a run in it, nor with a file that could not be written; no later run makes it again."""
    output, away = project / "run-compare", project / "away"

    def act() -> None:
        output.rename(away)
        if how == "removed":
            shutil.rmtree(away)

    wish = CompareOptions(baselines=(), balancers=({"name": "equal"}, {"name": "dwa"}))
    given = spec(project, max_steps=4, log_every=1)
    with pytest.raises(
        mftkit.MftError,
        match=r"^--output: .*run-compare was moved or removed while this comparison wrote to it\.",
    ):
        compare(given, wish, reporter=MovesOnce(act, between_runs=between_runs))
    assert not output.exists()
    if how == "moved":
        away.rename(output)
        assert compare(given, wish).result.complete


@pytest.mark.parametrize("left", ["nothing", "that of an earlier session"])
def test_a_report_that_a_kill_prevented_is_written_by_the_next_command(project: Path, left: str) -> None:
    report = project / "run" / "report.html"
    mftkit.run(spec(project))
    whole = report.read_bytes()
    if left == "nothing":
        report.unlink()
    else:
        report.write_text("old")
        os.utime(report, (1, 1))
    mftkit.run(spec(project))
    assert report.read_bytes() == whole
    changed = report.stat().st_mtime_ns
    mftkit.run(spec(project))
    assert report.stat().st_mtime_ns == changed
