"""Callbacks of a run, with a plugin in a file: what they are called with, how they end a run, and what is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import mftkit
from fixture_types import Install
from mftkit.plugins import installed
from mftkit.tools.run import run
from recorder import Recorder
from small_runs import metrics, rows, small_spec, write_rows

FILE = """
import mftkit

calls = []

@mftkit.hookimpl
def register_callbacks(register):
    register("log", "watch:Log", summary="keeps its calls")
    register("weak", "watch:Weak", summary="fails")
    register("picky", "watch:Picky", summary="refuses to start")
    register("at-loss", "mftkit_plugins.callbacks.stop_at_loss:StopAtLoss", summary="a built-in one")

@mftkit.hookimpl
def register_balancers(register):
    register("seen", "watch:Seen", summary="has metrics")

@mftkit.hookimpl
def on_run_start(run, step):
    calls.append(("hook", step))

class Log(mftkit.Callback):
    class Options(mftkit.Options):
        stop: int = 0
        where: str = "on_step_end"

    def __init__(self, options=None, tasks=()):
        super().__init__(options, tasks)
        self.steps = []

    def called(self, where, run, step, *more):
        calls.append((where, step, *more))
        if step == self.options.stop and where == self.options.where:
            run.stop("seen   enough")
            run.stop("and more")

    def on_run_start(self, run, step):
        calls.append(("start", step, list(self.steps), [task.name for task in self.tasks], run.tasks))

    def on_step_end(self, run, step, metrics):
        self.steps.append(step)
        self.called("on_step_end", run, step, metrics.get("step"))

    def on_validation_end(self, run, step, metrics):
        self.called("on_validation_end", run, step, metrics["event"])

    def on_checkpoint(self, run, step, path):
        self.called("on_checkpoint", run, step, path.name)

    def on_run_end(self, run, reason, error):
        calls.append(("end", reason, error))

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]

class Weak(mftkit.Callback):
    def on_step_end(self, run, step, metrics):
        raise ConnectionError(f"gone at step {step}")

class Picky(mftkit.Callback):
    def on_run_start(self, run, step):
        raise mftkit.MftError("picky: log in first.")

class Seen(mftkit.Balancer):
    def weights(self):
        import torch
        return torch.ones(len(self.tasks))

    def metrics(self):
        import torch
        return {"tasks": len(self.tasks), "nan": float("nan"), "deep/one": torch.tensor(0.5)}
"""


@pytest.fixture
def project(tmp_path: Path) -> Any:
    (tmp_path / "watch.py").write_text(FILE)
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 40))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 20))
    yield tmp_path
    installed.select_plugins(())
    for name in [name for name in sys.modules if name.startswith("mftkit_file_")]:
        del sys.modules[name]


def spec(project: Path, *callbacks: Any, **changes: Any) -> Any:
    training = {"max_steps": 6, "evaluate_every": 4, "checkpoint_every": 2, "log_every": 2, "batch_size": 8}
    training["asynchronous_checkpoints"] = False  # on_checkpoint is then called before the next step
    made = small_spec(
        callbacks=list(callbacks),
        plugins=["watch.py"],
        training=training | changes.pop("training", {}),
        max_length=48,
        **changes,
    )
    return mftkit.load_spec(made, directory=project)


def log(**options: Any) -> Any:
    return {"name": "log", "options": options}


def calls(read: Any) -> list[Any]:
    found: list[Any] = sys.modules[read.plugins[0].module_name].calls
    taken = list(found)
    found.clear()
    return taken


def test_a_stopped_run_is_finished_and_continues_when_its_callbacks_change(project: Path) -> None:
    listener = Recorder()
    read = spec(project, log(stop=3), "weak", balancer="seen")
    outcome = run(read, reporter=listener)
    assert (outcome.reason, outcome.step, outcome.best_step) == ("finished", 3, 3)
    assert outcome.stopped_by == "callback log: seen enough"
    assert calls(read) == [
        ("start", 0, [], ["big", "small"], ("big", "small")),
        ("hook", 0),
        ("on_validation_end", 0, "valid"),
        ("on_step_end", 1, None),
        ("on_step_end", 2, 2),
        ("on_checkpoint", 2, "step-00000002"),
        ("on_step_end", 3, None),
        ("on_validation_end", 3, "valid"),
        ("on_checkpoint", 3, "step-00000003"),
        ("end", "finished", None),
    ]
    assert listener.notes[0] == (
        f"plugins: {project / 'watch.py'} (balancer seen, callback log, callback weak, listens to the run)"
    )
    assert "the run ends after step 3, stopped by callback log: seen enough" in listener.notes
    assert [text for text in listener.warnings if "weak" in text] == [
        f'callback "weak" of {project / "watch.py"} failed: ConnectionError: gone at step 1. The run continues; further '
        "failures are not reported. metrics.jsonl holds every number."
    ]
    lines = metrics(project / "run")
    assert [(line["event"], line["step"]) for line in lines] == [
        ("valid", 0), ("train", 2), ("train", 3), ("valid", 3), ("end", 3)
    ]  # fmt: skip
    assert (lines[-1]["reason"], lines[-1]["stopped_by"]) == ("finished", "callback log: seen enough")
    assert lines[1]["balancer"] == {"tasks": 2.0, "nan": None, "deep/one": 0.5}
    assert (project / "run" / "model" / "config.json").is_file() or list(
        (project / "run" / "model").iterdir()
    )
    environment = json.loads((project / "run" / "environment.json").read_text())
    assert {"kind": "callback", "name": "log"}.items() <= environment["components"][-2].items()
    (plugin,) = environment["plugins"]
    assert plugin["path"] == str(project / "watch.py")
    assert (plugin["sha256"], plugin["listens"]) == (read.plugins[0].sha256, True)

    again = Recorder()
    assert (
        run(spec(project, log(stop=3), "weak", balancer="seen"), reporter=again).stopped_by
        == outcome.stopped_by
    )
    assert "finished at step 3, stopped by callback log: seen enough" in again.notes[-1]
    assert "change its callbacks to continue it" in again.notes[-1]

    (project / "watch.py").write_text(FILE + "\n# changed\n")
    more = Recorder()
    read = spec(project, log(stop=99), balancer="seen")
    assert run(read, reporter=more).step == 6
    assert calls(read)[0] == ("start", 3, [1, 2, 3], ["big", "small"], ("big", "small"))
    (changed,) = [text for text in more.warnings if "plugins changed" in text]
    assert "watch.py (balancer seen, callback log, listens to the run) has changed" in changed
    assert "stopped_by" not in metrics(project / "run")[-1]


@pytest.mark.parametrize(("where", "at", "ends"), [("on_validation_end", 0, 1), ("on_checkpoint", 2, 3)])
def test_a_request_outside_of_a_step_ends_the_run_after_the_next(
    where: str, at: int, ends: int, project: Path
) -> None:
    read = spec(project, log(stop=at, where=where), training={"max_steps": 4})
    assert run(read).step == ends


def test_a_request_at_the_last_step_changes_nothing(project: Path) -> None:
    outcome = run(spec(project, log(stop=2), training={"max_steps": 2}))
    assert (outcome.reason, outcome.step, outcome.stopped_by) == ("finished", 2, None)


def test_ready_callbacks_and_one_name_twice(project: Path, install: Install) -> None:
    source = (
        "import mftkit\n@mftkit.hookimpl\ndef on_step_end(run, step):\n    if step == 2: run.stop('hook')\n"
    )
    install("mft-listener", {"listener": "mft_listener"}, {"mft_listener": source}, version="1.2")
    installed.registry.cache_clear()

    class Mine(mftkit.Callback):
        started: Any = None

        def on_run_start(self, run: mftkit.RunInfo, step: int) -> None:
            self.started = (run.name, step, [task.name for task in self.tasks])

    listener, mine = Recorder(), Mine()
    try:
        read = spec(project, log(), log(stop=9))
        outcome = run(read, reporter=listener, callbacks=[mine])
        with pytest.raises(
            mftkit.MftError, match=r"callbacks\.1\.name: is named twice with the same options"
        ):
            spec(project, log(), log())
    finally:  # what is read after this would find the package once more, and keep it for the tests that follow
        installed.registry.cache_clear()
    assert mine.started == ("small", 0, ["big", "small"])
    assert (outcome.step, outcome.stopped_by) == (2, "plugin listener: hook")
    assert "mft-listener 1.2 (listens to the run)" in listener.notes[0]
    plugins = json.loads((project / "run" / "environment.json").read_text())["plugins"]
    assert {"name": "listener", "distribution": "mft-listener", "version": "1.2"}.items() <= plugins[
        0
    ].items()


def test_refusals_come_before_the_first_step(project: Path) -> None:
    with pytest.raises(mftkit.MftError, match=r"^picky: log in first\.$"):
        run(spec(project, "picky"))
    assert metrics(project / "run") == []
    with pytest.raises(mftkit.MftError, match="callbacks: object is not a mftkit.Callback"):
        run(spec(project), callbacks=[object()])  # type: ignore[list-item]
    with pytest.raises(mftkit.MftError, match='stop-at-loss: the task "none" has no validation samples'):
        run(spec(project, {"name": "at-loss", "options": {"loss": 1.0, "task": "none"}}), dry_run=True)


def test_a_run_cannot_be_stopped_from_outside() -> None:
    with pytest.raises(RuntimeError, match="only a run in progress"):
        mftkit.RunInfo("a", Path("a"), {}, ()).stop("now")
