import itertools
import math
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from mftkit.spec import EarlyStoppingSpec
from mftkit.training.validation_history import ValidationHistory

NAMES = ("a", "b", "c")
NAN = math.nan


def standing(*rows: Any, first: int = 0) -> ValidationHistory:
    made = ValidationHistory()
    for step, losses in enumerate(rows, start=first):
        made.add(step, losses)
    return made


def test_nothing_is_best_before_a_validation_and_an_untrained_model_never_is() -> None:
    assert ValidationHistory().best_step is None
    assert ValidationHistory().best_steps() == {}
    start = standing((1, 1, 1))
    assert (start.best_step, start.best_steps(), start.best_by_rank([0])) == (None, {}, None)
    assert standing((1, 1, 1), (2, 2, 2)).best_step == 1


def test_the_best_by_mean_and_of_each_task_and_the_earlier_of_equals() -> None:
    found = standing((9, 9, 9), (1, 5, 3), (2, 4, 3), (6, 1, 3))
    assert found.best_step == 1
    assert found.best_steps() == {0: 1, 1: 3, 2: 1}


def test_a_task_without_validation_counts_for_nothing() -> None:
    found = standing((9, NAN, 9), (1, NAN, 5), (2, NAN, 3))
    assert found.best_step == 2
    assert found.best_steps() == {0: 1, 2: 2}
    assert found.best_by_rank([1, 2]) == 2


def test_mean_rank_is_not_led_by_one_tasks_scale() -> None:
    # By mean the second wins for task c alone; by rank the first wins two tasks of three.
    found = standing((9, 9, 9), (1.0, 1.0, 5.0), (1.1, 1.1, 1.0))
    assert found.best_step == 2
    assert found.best_by_rank([1, 2]) == 1
    assert found.best_by_rank([2]) == 2
    assert found.best_by_rank([7]) is None


def test_mean_rank_against_ranks_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        losses = rng.integers(0, 4, (6, 3)).astype(float)
        found = standing(*losses, first=1)

        def rank(i: int, column: int, losses: NDArray[Any] = losses) -> Any:
            better = sum(losses[j, column] < losses[i, column] for j in range(6))
            equal = sum(losses[j, column] == losses[i, column] for j in range(6))
            return better + (equal + 1) / 2

        told = [(np.mean([rank(i, c) for c in range(3)]), losses[i].mean(), i + 1) for i in range(6)]
        assert found.best_by_rank(range(1, 7)) == min(told)[2]


@pytest.mark.parametrize(
    ("criterion", "stops", "over"),
    [("mean", [], False), ("each", [0], False), ("all", [], False)],
)
def test_one_task_without_gain(
    criterion: Literal["mean", "each", "all"], stops: list[int], over: bool
) -> None:
    stopping = EarlyStoppingSpec(patience=2, criterion=criterion)
    found = standing((5, 5, 5), (4, 4, 4), (4, 3, 3), (4, 2, 2))
    assert found.stopped(stopping, NAMES) == stops
    assert found.is_over(stopping, NAMES) is over


def test_each_a_stopped_task_stays_so_and_the_run_ends_with_the_last() -> None:
    stopping = EarlyStoppingSpec(patience=1, criterion="each")
    rows = [(5, 5, 5), (6, 4, 4), (1, 4, 3), (1, 3, 3)]
    ended = []
    for end in range(1, 5):
        found = standing(*rows[:end])
        ended.append((found.stopped(stopping, NAMES), found.is_over(stopping, NAMES)))
    assert ended == [([], False), ([0], False), ([0, 1], False), ([0, 1, 2], True)]


def test_all_waits_until_no_task_gains_at_the_same_time() -> None:
    stopping = EarlyStoppingSpec(patience=2, criterion="all")
    rows = [(5, 5), (5, 4), (5, 3), (4, 3), (4, 3), (4, 3)]
    over = [standing(*rows[:end]).is_over(stopping, ("a", "b")) for end in range(1, 7)]
    assert over == [False] * 5 + [True]


def test_only_watched_tasks_count() -> None:
    stopping = EarlyStoppingSpec(patience=1, tasks=["b"], criterion="each")
    found = standing((5, 5, 5), (6, 4, 6), (7, 6, 7))
    assert found.stopped(stopping, NAMES) == [1]
    assert found.is_over(stopping, NAMES)


def test_without_early_stopping_nothing_stops() -> None:
    found = standing(*itertools.repeat((1, 1, 1), 9))
    assert found.stopped(None, NAMES) == []
    assert not found.is_over(None, NAMES)


def test_the_mean_of_watched_tasks_has_patience() -> None:
    stopping = EarlyStoppingSpec(patience=2)
    rows = [(5, 5), (3, 5), (5, 4), (3, 3), (3, 3), (3, 3)]
    over = [standing(*rows[:end]).is_over(stopping, ("a", "b")) for end in range(1, 7)]
    assert over == [False] * 5 + [True]
