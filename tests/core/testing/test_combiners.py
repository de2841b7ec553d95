"""The suite of gradient combiners: one that keeps its promises passes, each broken one is found."""

from typing import Any

import pytest
import torch

import mftkit
from mftkit.plugins import kinds
from mftkit.testing.running import run_suite, suite_for


class Sum(mftkit.GradientCombiner):
    """The plain sum."""

    def combine(self, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return gradients.sum(0)


class Remembers(mftkit.GradientCombiner):
    """A moving sum; what it keeps is in its state."""

    kept = None

    def combine(self, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        self.kept = (
            gradients.sum(0) if self.kept is None else self.kept.to(gradients) * 0.5 + gradients.sum(0)
        )
        return self.kept

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = state["kept"]


class Forgets(Remembers):
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Draws(Sum):
    def combine(self, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return super().combine(gradients, weights) * torch.rand(())


class Overwrites(Sum):
    def combine(self, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        gradients *= 2
        return super().combine(gradients, weights)


class Divides(Sum):
    """By each row's length, also where the row is zero."""

    def combine(self, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        lengths: torch.Tensor = gradients.norm(dim=1, keepdim=True)
        return (gradients / lengths).sum(0)


class Stacks(Sum):
    def combine(self, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return gradients


class Widens(Sum):
    def combine(self, gradients: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return gradients.double().sum(0)


def failed(component: type[Any]) -> dict[str, str]:
    rows = run_suite(suite_for(kinds.GRADIENT_COMBINER, component))
    return {row.check: row.what for row in rows if row.outcome == "failed"}


@pytest.mark.parametrize("component", [Sum, Remembers])
def test_a_sound_one_passes(component: type[Any]) -> None:
    assert failed(component) == {}


@pytest.mark.parametrize(
    ("component", "check", "says"),
    [
        (Forgets, "state round trip", "missing from state_dict"),
        (Draws, "determinism", "random state of torch"),
        (Overwrites, "it changes nothing it is given", "changes the tensors"),
        (Divides, "one task present", "not finite"),
        (Stacks, "what it gives", r"shape (3, 24), not (24,)"),
        (Widens, "what it gives", "float64 for gradients of torch.float32"),
    ],
)
def test_a_broken_promise_is_found(component: type[Any], check: str, says: str) -> None:
    assert says in failed(component)[check]
