"""The run hooks of plugins: what they are called with, and a plugin that fails in one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mftkit.interfaces.run_info import RunInfo
from mftkit.plugins import installed
from mftkit.reporting.lines import TaskTraining, TaskValidation, TrainLine, ValidLine
from mftkit.reporting.listener import FailureReport, Listeners
from mftkit.reporting.outcome import Outcome
from mftkit.training.events import HookCaller
from recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fixture_types import Install

WATCHER = """
    import mftkit

    calls = []

    @mftkit.hookimpl
    def on_run_start(run):
        calls.append(("start", run.name))

    @mftkit.hookimpl
    def on_step_end(step, metrics):
        calls.append(("step", step, metrics))

    @mftkit.hookimpl
    def on_validation_end(run, step, metrics):
        calls.append(("valid", step, metrics))

    @mftkit.hookimpl
    def on_checkpoint(path):
        calls.append(("checkpoint", path.name))

    @mftkit.hookimpl
    def on_run_end(reason, error):
        calls.append(("end", reason, error))
"""
BROKEN = """
    import mftkit

    @mftkit.hookimpl
    def on_step_end(step):
        raise ConnectionError(f"gone at step {step}")
"""
TRAIN = TrainLine(2, 0.5, 1.5, {"a": TaskTraining(1.5, 1.0, 7, 2)}, 1e-3, 0.5, 100.0, 0.25)
VALID = ValidLine(2, 1.25, {"a": TaskValidation(1.25, 9)})


@pytest.fixture(autouse=True)
def fresh_registry() -> Iterator[None]:
    installed.registry.cache_clear()
    yield
    installed.registry.cache_clear()


def play() -> Recorder:
    reporter = Recorder()
    failures = FailureReport(reporter.warn)
    run = RunInfo("small", Path("run"), {}, ("a",))
    listeners = Listeners(reporter, [HookCaller(run, failures)], failures)
    listeners.started(0)
    listeners.step_ended(1, None)
    listeners.step_ended(2, TRAIN)
    listeners.validated(VALID)
    listeners.saved(2, Path("step-00000002"))
    listeners.ended(Outcome("failed", 2, None, "broke"))
    return reporter


def test_hooks_are_called_with_the_lines_of_metrics(install: Install) -> None:
    install("watcher", {"watcher": "mft_watcher"}, {"mft_watcher": WATCHER})
    assert play().warnings == []
    assert importlib.import_module("mft_watcher").calls == [
        ("start", "small"),
        ("step", 1, {}),
        ("step", 2, TRAIN.to_json()),
        ("valid", 2, VALID.to_json()),
        ("checkpoint", "step-00000002"),
        ("end", "failed", "broke"),
    ]


def test_a_plugin_that_fails_is_reported_once_with_its_package(install: Install) -> None:
    install("broken", {"broken": "mft_broken"}, {"mft_broken": BROKEN}, version="2.1")
    assert play().warnings == [
        'plugin "broken" (broken 2.1) failed in on_step_end: ConnectionError: gone at step 1. The run continues; further '
        "failures are not reported. metrics.jsonl holds every number."
    ]
