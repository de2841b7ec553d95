"""The suite for mixers finds what is wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest

import mftkit
import mftkit.testing


class Good(mftkit.Mixer):
    changes = True
    interval = 5
    validation_samples = 2

    def __init__(self, options: Any, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.seen = 0

    def shares(self) -> list[float]:
        return [1.0 + self.seen % (index + 2) for index in range(len(self.tasks))]

    def observe(self, step: int, before: Any, after: Any) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class Negative(Good):
    def shares(self) -> list[float]:
        return [1.0 - self.seen] * len(self.tasks)


class Forgets(Good):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = 0


class Moves(Good):
    changes = False


class Random(Good):
    def shares(self) -> list[float]:
        return [random.random() for _ in self.tasks]


class Writes(Good):
    def observe(self, step: int, before: Any, after: Any) -> None:
        after[0] = 0.0


class Short(Good):
    interval = 0


@pytest.mark.parametrize(
    ("component", "check"),
    [
        (Negative, "test_shares"),
        (Forgets, "test_state_round_trip"),
        (Moves, "test_fixed_shares_stay"),
        (Random, "test_shares"),
        (Writes, "test_it_changes_nothing_it_is_given"),
        (Short, "test_what_it_states"),
    ],
)
def test_a_flaw_is_found(component: type[Good], check: str) -> None:
    class Suite(mftkit.testing.MixerConformance):
        pass

    Suite.component = Good
    getattr(Suite(), check)()
    Suite.component = component
    with pytest.raises(mftkit.testing.ConformanceError):
        getattr(Suite(), check)()
