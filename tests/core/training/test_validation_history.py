import itertools
import math
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from mftkit.spec import EarlyStoppingSpec
from mftkit.training.validation_history import Rollback, ValidationHistory

NAMES = ("a", "b", "c")
NAN = math.nan


def history(
    *rows: Any,
    first: int = 0,
    stopping: EarlyStoppingSpec | None = None,
    names: tuple[str, ...] = NAMES,
) -> ValidationHistory:
    made = ValidationHistory(names, stopping)
    for step, losses in enumerate(rows, start=first):
        made.add(step, losses)
    return made


def test_nothing_is_best_before_a_validation_and_an_untrained_model_never_is() -> None:
    assert ValidationHistory().best_step is None
    assert ValidationHistory().best_steps() == {}
    start = history((1, 1, 1))
    assert (start.best_step, start.best_steps(), start.best_by_rank([0])) == (None, {}, None)
    assert history((1, 1, 1), (2, 2, 2)).best_step == 1


def test_the_best_by_mean_and_of_each_task_and_the_earlier_of_equals() -> None:
    found = history((9, 9, 9), (1, 5, 3), (2, 4, 3), (6, 1, 3))
    assert found.best_step == 1
    assert found.best_steps() == {0: 1, 1: 3, 2: 1}


def test_a_task_without_validation_counts_for_nothing() -> None:
    found = history((9, NAN, 9), (1, NAN, 5), (2, NAN, 3))
    assert found.best_step == 2
    assert found.best_steps() == {0: 1, 2: 2}
    assert found.best_by_rank([1, 2]) == 2


def test_mean_rank_is_not_led_by_one_tasks_scale() -> None:
    # By mean the second wins for task c alone; by rank the first wins two tasks of three.
    found = history((9, 9, 9), (1.0, 1.0, 5.0), (1.1, 1.1, 1.0))
    assert found.best_step == 2
    assert found.best_by_rank([1, 2]) == 1
    assert found.best_by_rank([2]) == 2
    assert found.best_by_rank([7]) is None


def test_mean_rank_against_ranks_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        losses = rng.integers(0, 4, (6, 3)).astype(float)
        found = history(*losses, first=1)

        def rank(i: int, column: int, losses: NDArray[Any] = losses) -> Any:
            better = sum(losses[j, column] < losses[i, column] for j in range(6))
            equal = sum(losses[j, column] == losses[i, column] for j in range(6))
            return better + (equal + 1) / 2

        ranked = [(np.mean([rank(i, c) for c in range(3)]), losses[i].mean(), i + 1) for i in range(6)]
        assert found.best_by_rank(range(1, 7)) == min(ranked)[2]


@pytest.mark.parametrize(
    ("criterion", "stops", "over"),
    [("mean", [], False), ("each", [0], False), ("all", [], False)],
)
def test_one_task_without_gain(
    criterion: Literal["mean", "each", "all"], stops: list[int], over: bool
) -> None:
    stopping = EarlyStoppingSpec(patience=2, criterion=criterion)
    found = history((5, 5, 5), (4, 4, 4), (4, 3, 3), (4, 2, 2), stopping=stopping)
    assert found.stopped_tasks == stops
    assert found.is_over is over


def test_each_a_stopped_task_stays_so_and_the_run_ends_with_the_last() -> None:
    stopping = EarlyStoppingSpec(patience=1, criterion="each")
    rows = [(5, 5, 5), (6, 4, 4), (1, 4, 3), (1, 3, 3)]
    found, ended = ValidationHistory(NAMES, stopping), []
    for step, losses in enumerate(rows):
        newly_stopped = found.add(step, losses)
        ended.append((newly_stopped, list(found.stopped_tasks), found.is_over))
    assert ended == [([], [], False), ([0], [0], False), ([1], [0, 1], False), ([2], [0, 1, 2], True)]


def test_all_waits_until_no_task_gains_at_the_same_time() -> None:
    stopping = EarlyStoppingSpec(patience=2, criterion="all")
    rows = [(5, 5), (5, 4), (5, 3), (4, 3), (4, 3), (4, 3)]
    over = [history(*rows[:end], stopping=stopping, names=("a", "b")).is_over for end in range(1, 7)]
    assert over == [False] * 5 + [True]


def test_only_watched_tasks_count() -> None:
    stopping = EarlyStoppingSpec(patience=1, tasks=["b"], criterion="each")
    found = history((5, 5, 5), (6, 4, 6), (7, 6, 7), stopping=stopping)
    assert found.stopped_tasks == [1]
    assert found.is_over


def test_without_early_stopping_nothing_stops() -> None:
    found = history(*itertools.repeat((1, 1, 1), 9))
    assert found.stopped_tasks == []
    assert not found.is_over


def test_the_mean_of_watched_tasks_has_patience() -> None:
    stopping = EarlyStoppingSpec(patience=2)
    rows = [(5, 5), (3, 5), (5, 4), (3, 3), (3, 3), (3, 3)]
    over = [history(*rows[:end], stopping=stopping, names=("a", "b")).is_over for end in range(1, 7)]
    assert over == [False] * 5 + [True]


def test_all_follows_from_the_state_and_keys_of_earlier_versions_are_ignored() -> None:
    stopping = EarlyStoppingSpec(patience=1, criterion="each")
    found = history((5, 5, 5), (6, 4, 4), (1, 4, 3), stopping=stopping)
    resumed = ValidationHistory(NAMES, stopping)
    resumed.load_state_dict(found.state_dict())
    assert (resumed.stopped_tasks, resumed.is_over) == ([0, 1], False)
    assert resumed.best_steps() == found.best_steps()
    resumed.add(3, (1, 3, 3))
    assert (resumed.stopped_tasks, found.stopped_tasks) == ([0, 1, 2], [0, 1]), "the state was copied"


def test_the_steps_to_keep_are_those_that_become_a_result() -> None:
    found = history((9, 9, 9), (1.0, 1.0, 5.0), (1.1, 1.1, 1.0), (1.2, 0.9, 5.0))
    assert found.steps_to_keep([1, 2, 3], best_per_task=False) == {2}
    assert found.steps_to_keep([1, 2, 3], best_per_task=True) == {1, 2, 3}
    assert ValidationHistory().steps_to_keep([], best_per_task=False) == set()


def rollback_history(*rows: Any, patience: int = 2) -> ValidationHistory:
    return history(*rows, stopping=EarlyStoppingSpec(patience=patience, criterion="rollback"))


def test_the_task_whose_best_step_comes_first_is_rolled_back_once_it_has_not_improved() -> None:
    found = rollback_history((9, 9, 9), (5, 5, 5), (4, 6, 4))
    assert found.pending_rollback() is None  # one validation without gain
    found.add(3, (3, 6, 5))
    assert found.pending_rollback() == Rollback(task=1, step=3, to=1)
    assert found.stopped_tasks == []
    found.add(4, (4, 7, 6))
    assert found.pending_rollback() == Rollback(task=1, step=4, to=1)  # c overfits, too, from a later step


def test_an_untrained_model_is_no_step_to_go_back_to() -> None:
    assert rollback_history((1, 9, 9), (5, 5, 5), (6, 4, 4), (7, 3, 3)).pending_rollback() == Rollback(
        0, 3, 1
    )


def test_after_a_rollback_validations_count_from_its_step_on() -> None:
    found = rollback_history((9, 9, 9), (5, 5, 1), (4, 4, 2), (3, 6, 2))
    first = found.pending_rollback()
    assert first == Rollback(2, 3, 1)
    found.roll_back(first)
    assert (found.steps, found.stopped_tasks, found.is_over) == ([0, 1], [2], False)
    assert found.pending_rollback() is None
    found.add(2, (6, 4, 9))
    found.add(3, (7, 3, 9))
    second = found.pending_rollback()
    assert second == Rollback(0, 3, 1)
    found.roll_back(second)
    for step, loss in ((2, 4), (3, 5), (4, 6)):
        found.add(step, (9, loss, 9))
    third = found.pending_rollback()
    assert third == Rollback(1, 4, 2)
    again = rollback_history()
    again.load_state_dict(found.state_dict())
    assert again.pending_rollback() == third
    assert again.rollbacks == found.rollbacks
    found.roll_back(third)
    assert found.is_over
    assert found.stopped_tasks == [0, 1, 2]
    assert found.pending_rollback() is None


def test_each_active_tasks_best_step_is_kept() -> None:
    found = rollback_history((9, 9, 9), (5, 1, 5), (4, 2, 6), (3, 2, 4), patience=3)
    assert found.steps_to_keep([1, 2, 3], best_per_task=False) == {1, 3}
    assert found.from_best_to_worst(1) == [1, 2, 3]
    each = history((9, 9, 9), (5, 1, 5), (4, 2, 4), stopping=EarlyStoppingSpec(patience=3))
    assert each.steps_to_keep([1, 2], best_per_task=False) == {2}


def test_only_trained_tasks_can_be_stopped() -> None:
    made = ValidationHistory(NAMES, EarlyStoppingSpec(patience=1, criterion="each"), trained=2)
    for step in range(3):
        made.add(step, (3 - step, 3, 3))
    assert made.stopped_tasks == [1]
    made.add(3, (9, 9, 9))
    assert made.is_over
