"""Trackers in a run: what reaches them, what a missing package and a failing one do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from commands import mft
from mftkit.plugins import installed
from recorder import Recorder
from small_runs import metrics, rows, small_spec, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fixture_types import Install

STRANGER = """
    import json
    import mftkit

    @mftkit.hookimpl
    def register_trackers(register):
        register("lines", Lines, summary="a line each")
        register("weak", Weak, summary="fails whatever is asked")
        register("unset", Unset, summary="refuses to start")
        register("lacking", Lacking, summary="needs what is not there")

    class Lines(mftkit.Tracker):
        def start(self, run, directory, step):
            directory.mkdir(parents=True, exist_ok=True)
            self.file = directory / "lines.jsonl"
            self.write("start", run.name, step)

        def log(self, step, values):
            self.write(step, values)

        def end(self, reason):
            self.write("end", reason)

        def write(self, *line):
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\\n")

    class Weak(mftkit.Tracker):
        def start(self, run, directory, step):
            pass

        def log(self, step, values):
            raise ConnectionError(f"gone\\nat step {step}")

        def end(self, reason):
            self.log(reason, {})

    class Unset(Lines):
        def start(self, run, directory, step):
            raise mftkit.MftError("unset: log in first.")

    class Lacking(Lines):
        packages = {"no_such_module": "no-such-package"}
"""


@pytest.fixture
def project(tmp_path: Path, install: Install) -> Iterator[Path]:
    install("stranger", {"stranger": "stranger_trackers"}, {"stranger_trackers": STRANGER})
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 40))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 20))
    installed.registry.cache_clear()
    yield tmp_path
    installed.registry.cache_clear()


def spec(project: Path, *trackers: Any, **changes: Any) -> Any:
    training = {"max_steps": 4, "evaluate_every": 2, "checkpoint_every": 2, "log_every": 1, "batch_size": 8}
    made = small_spec(trackers=list(trackers), training=training, max_length=48, **changes)
    return mftkit.load_spec(made, directory=project)


def test_every_number_reaches_a_tracker_and_a_failing_one_is_reported_once(project: Path) -> None:
    listener = Recorder()
    outcome = mftkit.run(spec(project, "lines", "weak"), reporter=listener)
    assert outcome.reason == "finished"
    lines = metrics(project / "run")
    tracked = [
        json.loads(text) for text in (project / "run/trackers/lines/lines.jsonl").read_text().splitlines()
    ]
    assert tracked[0] == ["start", "small", 0]
    assert tracked[-1] == ["end", "finished"]
    for (step, values), line in zip(tracked[1:-1], lines[:-1], strict=True):
        assert step == line["step"]
        event = line["event"]
        flat = {f"{event}/{key}": line[key] for key in line if key not in ("event", "step", "tasks", "time")}
        for task, of_task in line["tasks"].items():
            flat |= {f"{event}/tasks/{task}/{key}": value for key, value in of_task.items()}
        assert values == {key: value for key, value in flat.items() if value is not None}
    assert [text for text in listener.warnings if "tracker" in text] == [
        'tracker "weak" of stranger 1.0 (entry point "stranger") failed: ConnectionError: gone at step 0. The run '
        "continues; further failures are not reported. metrics.jsonl holds every number."
    ]
    used = json.loads((project / "run/environment.json").read_text())["components"]
    assert {"kind": "tracker", "name": "lines", "distribution": "stranger", "version": "1.0"} in used


def test_a_run_that_resumes_tells_from_where_and_fresh_removes_what_was_tracked(project: Path) -> None:
    run = mftkit.run
    run(spec(project, "lines"))
    file = project / "run/trackers/lines/lines.jsonl"
    first = file.read_text()
    kept = [line for line in metrics(project / "run") if line["event"] != "end"]
    (project / "run/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    run(spec(project, "lines"))
    assert json.loads(file.read_text()[len(first) :].splitlines()[0]) == ["start", "small", 4]
    run(spec(project, "lines"), fresh=True)
    starts = [line for line in file.read_text().splitlines() if "start" in line]
    assert starts == first.splitlines()[:1]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_missing_package_is_reported_before_any_work(project: Path, dry_run: bool) -> None:
    with pytest.raises(
        mftkit.MftError, match=r"^trackers: lacking cannot be used.*pip install no-such-package,"
    ):
        mftkit.run(spec(project, "lines", "lacking"), dry_run=dry_run)
    assert not (project / "run").exists()
    assert not (project / "cache").exists()


def test_a_tracker_that_refuses_ends_the_run_before_its_first_step(project: Path) -> None:
    with pytest.raises(mftkit.MftError, match=r"^unset: log in first\.$"):
        mftkit.run(spec(project, "unset"))
    assert [line["event"] for line in metrics(project / "run")] == []


def test_tensorboard_from_the_command_line_over_a_resume(project: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra: trackers)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = spec(project, "tensorboard").dump()
    (project / "spec.json").write_text(json.dumps(made))
    mftkit.run(mftkit.load_spec(project / "spec.json"))
    before = metrics(project / "run")
    newest = max((project / "run/checkpoints").iterdir())
    (newest / "state.pt").write_bytes(b"")
    (project / "run/metrics.jsonl").write_text(json.dumps(before[0]) + "\n")
    done = mft("run", "spec.json", cwd=project)
    assert done.returncode == 0, done.stderr
    read = EventAccumulator(str(project / "run/trackers/tensorboard/small"))
    read.Reload()
    for task in ("big", "small"):
        assert [event.step for event in read.Scalars(f"valid/tasks/{task}/loss")] == [0, 2, 4]
        assert [event.step for event in read.Scalars(f"train/tasks/{task}/weight")] == [1, 2, 3, 4]
