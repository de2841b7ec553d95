"""The verdict on synthetic histories, in which what is true is known."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mftkit.pages.findings import finding
from mftkit.pages.verdict import findings, verdict, verdict_on_several
from mftkit.reporting.lines import EndLine, TaskTraining, TaskValidation, TrainLine, ValidLine
from mftkit.runs.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STEPS = (0, 20, 40, 60, 80, 100)
FALLING = (4.0, 3.5, 3.0, 2.5, 2.0, 1.5)
LEVEL = (4.0, 2.0, 1.505, 1.5, 1.502, 1.5)
TURNING = (4.0, 2.0, 1.5, 1.7, 2.0, 2.4)


def valid(losses: Mapping[str, Sequence[float | None]], tokens: int = 10_000) -> list[ValidLine]:
    lines = []
    for i, step in enumerate(STEPS):
        at = {task: TaskValidation(each[i], tokens) for task, each in losses.items() if i < len(each)}
        known = [one.loss for one in at.values() if one.loss is not None]
        if at:
            lines.append(ValidLine(step, sum(known) / len(known) if known else None, at))
    return lines


def train(losses: Mapping[str, Sequence[float]], tokens: dict[str, int] | None = None) -> list[TrainLine]:
    counts = tokens or {}
    return [
        TrainLine(
            step=10 * (i + 1),
            epoch=i / 10,
            loss=sum(each[i] for each in losses.values()),
            tasks={
                task: TaskTraining(each[i], 1.0, counts.get(task, 20_000), 5) for task, each in losses.items()
            },
        )
        for i in range(10)
    ]


FALLS = [3 - i / 5 for i in range(10)]
STAYS = [2.0] * 10


def record(
    valid_lines: list[ValidLine], train_lines: list[TrainLine], reason: str | None = "finished", **end: Any
) -> RunRecord:
    ended = None if reason is None else EndLine(reason, end.pop("step", 100), **end)
    return RunRecord(Path("run"), {}, {}, {"steps": 100}, train_lines, valid_lines, ended)


def sentences(run: RunRecord) -> str:
    return "\n".join(verdict(run, findings(run)))


@pytest.mark.parametrize(
    ("losses", "training", "state", "since"),
    [
        (FALLING, FALLS, "falls", 60),
        (LEVEL, FALLS, "level", 40),
        (TURNING, FALLS, "overfits", 40),
        (TURNING, STAYS, "rises", 40),
        ((2.0, 2.001, 1.999, 2.0, 2.001, 2.0), FALLS, "no gain", 0),
        ((2.0, 2.4, 2.8, 3.2, 3.4, 3.5), STAYS, "rises", 0),
        ((2.0, 2.4, 2.8, 3.2, 3.4, 3.5), FALLS, "overfits", 0),
        ((4.0, 2.0), FALLS, "once", 0),
        ((4.0,), FALLS, "untrained", 0),
        ((), FALLS, "none", 0),
        ((None, 2.0, 1.5, None, 2.0, 2.4), FALLS, "overfits", 40),
    ],
)
def test_the_finding_on_one_task(
    losses: Sequence[float | None], training: list[float], state: str, since: int
) -> None:
    found = finding("a", train({"a": training}), valid({"a": losses}))
    assert (found.state, found.since) == (state, since)
    assert found.short


@pytest.mark.parametrize(("tokens", "state"), [(50_000, "overfits"), (60, "level")])
def test_few_validation_tokens_allow_no_difference(tokens: int, state: str) -> None:
    losses = (4.0, 2.0, 1.9, 1.9, 1.95, 2.05)
    assert finding("a", train({"a": FALLS}), valid({"a": losses}, tokens)).state == state


def test_a_scatter_of_the_validations_allows_no_difference() -> None:
    drawn = random.Random(3)
    lines = [
        ValidLine(step, None, {"a": TaskValidation(2 + drawn.gauss(0, 0.3), 1_000_000)})
        for step in range(0, 400, 10)
    ]
    found = finding("a", [], lines)
    assert found.state in ("level", "no gain")
    assert found.noise > 0.3


def test_an_unsteady_start_does_not_count_as_a_fall_at_the_end() -> None:
    """Only the start and one late pair of validations: the fall before them is not one at the end."""
    lines = [
        ValidLine(s, None, {"a": TaskValidation(y, 10_000)}) for s, y in ((0, 4.0), (90, 2.0), (100, 2.0))
    ]
    assert finding("a", [], lines).state == "level"


def test_the_verdict_names_what_falls_and_what_overfits() -> None:
    losses = {"falling": FALLING, "turning": TURNING}
    text = sentences(record(valid(losses), train({"falling": FALLS, "turning": FALLS})))
    assert (
        "Still falling at the end: falling (2.5000 at step 60, 1.5000 at the end). More epochs may help."
        in text
    )
    assert (
        "turning overfits since step 40: its validation loss rose from 1.5000 to 2.4000 while its training loss kept "
        "falling (2.6000 to 1.4000)." in text
    )
    assert "The mean over tasks is lowest at step 100: 1.9500 nats per token" in text
    assert "Better beyond noise at another step: turning (step 40, 1.5000)" in text
    assert "noisy" not in text


def test_equal_steps_are_ties() -> None:
    text = sentences(record(valid({"a": LEVEL}), train({"a": FALLS})))
    assert (
        "lowest at step 60: 1.5000 nats per token; steps 40, 80 and 100 are within noise of it (0.021 nats)"
        in text
    )
    assert "overfits" not in text


def test_a_task_without_its_share_is_starved() -> None:
    losses = {"large": FALLING, "small": FALLING, "absent": ()}
    tokens = {"large": 20_000, "small": 800, "absent": 0}
    run = record(valid(losses), train(dict.fromkeys(losses, FALLS), tokens))
    text = sentences(run)
    assert (
        "Starved of tokens, where an equal share is 33.3%: small (3.8% of the loss tokens, 80 per step)."
        in text
    )
    assert "Not trained at all, with 0 loss tokens: absent." in text
    assert "Without validation of the trained model, so nothing can be said: absent." in text


def test_few_tokens_per_step_are_reported() -> None:
    run = record(valid({"a": LEVEL}), train({"a": FALLS}, {"a": 70}))
    assert "Few loss tokens per step, so the gradient is noisy: a (7.0 per step)." in sentences(run)


@pytest.mark.parametrize(
    ("reason", "more", "expected"),
    [
        ("failed", {"step": 60, "error": "x"}, "The run failed in step 100 of 100"),
        ("interrupted", {}, "The run was interrupted at step 100 of 100"),
        ("early-stopped", {}, "Early stopping ended the run at step 100 of 100."),
        (None, {}, "The run has not ended: the numbers are those up to step 100 of 100."),
    ],
)
def test_how_the_run_ended_comes_first(reason: str | None, more: dict[str, Any], expected: str) -> None:
    run = record(valid({"a": FALLING}), train({"a": FALLS}), reason, **more)
    assert verdict(run, findings(run))[0].startswith(expected)
    assert ("More epochs" in sentences(run)) == (reason == "early-stopped")


def test_without_validation_nothing_is_said_of_overfitting() -> None:
    text = sentences(record([], train({"a": FALLS})))
    assert text.startswith("There is no validation, so nothing can be said about overfitting.")
    assert "3.0000 to 1.2000" in text
    only_start = sentences(record(valid({"a": (4.0,)}), train({"a": FALLS})))
    assert "Validation was done only before training" in only_start


def test_without_a_number_nothing_is_said() -> None:
    assert "nothing can be said" in sentences(record([], [], None))


def test_a_loss_that_is_not_finite_is_reported() -> None:
    losses = {"a": FALLING, "b": (4.0, 3.0, None, None, None, None)}
    text = sentences(record(valid(losses), train({"a": FALLS, "b": FALLS}), "failed", error="not finite"))
    assert "A validation loss was not a finite number, and was left out: b." in text


def test_sixty_tasks_are_counted() -> None:
    losses = {f"task-{i}": TURNING for i in range(60)}
    text = verdict(run := record(valid(losses), train(dict.fromkeys(losses, FALLS))), findings(run))
    assert len(text) < 8
    assert any("and 54 more" in sentence for sentence in text)


def test_several_runs_are_compared_as_far_as_noise_allows() -> None:
    def run(shift: float) -> RunRecord:
        return record(valid({"a": [y + shift for y in LEVEL]}), train({"a": FALLS}))

    apart = verdict_on_several([run(0.2), run(0.0)], ["one", "other"])
    assert apart[0] == "other has the lowest validation loss, 1.5000 as the mean over tasks."
    tie = verdict_on_several([run(0.01), run(0.0)], ["one", "other"])
    assert "noise (0.021 nats) could explain the difference from one" in tie[0]
    assert "seeds" in tie[1]
    equal = verdict_on_several([run(0.0), run(0.0)], ["one", "other"])
    assert equal[0] == "one, other share the lowest validation loss, 1.5000 as the mean over tasks."
    assert "nothing to compare" in verdict_on_several([run(0), record([], [])], ["one", "other"])[0]


def test_no_number_is_invented() -> None:
    """A task whose tokens are not known has no noise of its tokens."""
    lines = [
        ValidLine(line.step, line.loss, {"a": TaskValidation(line.tasks["a"].loss)})
        for line in valid({"a": LEVEL})
    ]
    found = finding("a", [], lines)
    assert math.isfinite(found.noise)
    assert found.tokens == 0
