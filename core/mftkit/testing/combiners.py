"""Checks of every gradient combiner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mftkit.testing.assertions import require
from mftkit.testing.balancers import saved
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 24
"""Length P of a gradient."""


class Turn(NamedTuple):
    """The input of a combiner in one step."""

    gradients: Tensor
    """[tasks, P]."""
    weights: Tensor
    """[tasks] float64; 0 for an absent task, whose gradient is zero."""


class GradientCombinerConformance(Conformance):
    """Checks of ``mftkit.GradientCombiner`` on gradients that agree, conflict, or are absent."""

    steps: int = 12
    """Number of steps in the history."""

    def history(self, count: int, dtype: torch.dtype = torch.float32) -> list[Turn]:
        """Return steps of ``count`` tasks; some are absent at times, and sizes differ by a factor of a thousand."""
        generator = torch.Generator().manual_seed(0)
        common = torch.randn(SIZE, dtype=torch.float64, generator=generator)
        own = torch.randn(count, SIZE, dtype=torch.float64, generator=generator)
        scale = 10.0 ** torch.linspace(-2, 1, count, dtype=torch.float64)
        turns = []
        for step in range(self.steps):
            noise = torch.randn(count, SIZE, dtype=torch.float64, generator=generator)
            weights = 0.5 + torch.rand(count, dtype=torch.float64, generator=generator)
            weights[torch.rand(count, generator=generator) < 0.3] = 0.0
            weights[step % max(1, count - 1)] = 1.0  # every step has at least one task
            rows = (0.3 * common + own + noise) * (scale * weights).unsqueeze(1)
            turns.append(Turn(rows.to(dtype), weights))
        return turns

    def test_what_it_gives(self) -> None:
        """``combine`` returns one finite gradient [P], in the dtype of the task gradients."""
        for dtype in (torch.float32, torch.float64):
            self._follow(self.make(), self.history(len(self.tasks), dtype))

    def test_one_task(self) -> None:
        """The same with one task."""
        combiner = self.resized(1)
        if combiner is not None:
            self._follow(combiner, self.history(1))

    def test_many_tasks(self) -> None:
        """The same with 40 tasks, more than a gradient has elements."""
        self._follow(self.resized(40), self.history(40))

    def test_one_task_present(self) -> None:
        """The same with only one task present."""
        for task in range(len(self.tasks)):
            alone = torch.zeros(len(self.tasks), dtype=torch.float64)
            alone[task] = 1.0
            kept = alone.float().unsqueeze(1)
            turns = [Turn(turn.gradients * kept, alone) for turn in self.history(len(self.tasks))]
            self._follow(self.make(), turns)

    def test_small_and_large_gradients(self) -> None:
        """The same with gradients scaled by 1e-6 and 1e6, and with zero gradients."""
        for factor in (1e-6, 1e6, 0.0):
            turns = [Turn(turn.gradients * factor, turn.weights) for turn in self.history(len(self.tasks))]
            self._follow(self.make(), turns)

    def test_it_changes_nothing_it_is_given(self) -> None:
        """It does not modify the gradients and weights it is given."""
        combiner = self.make()
        for gradients, weights in self.history(len(self.tasks)):
            kept = gradients.clone(), weights.clone()
            combiner.combine(gradients, weights)
            same = torch.equal(gradients, kept[0]) and torch.equal(weights, kept[1])
            require(same, "combine() changes the tensors that it is given")

    def test_state_round_trip(self) -> None:
        """A resumed combiner returns exactly the gradients of an uninterrupted one."""
        history = self.history(len(self.tasks))
        for cut in (0, 1, len(history) // 2):
            uninterrupted, resumed = self.make(), self.make()
            for turn in history[:cut]:
                uninterrupted.combine(*turn)
            resumed.load_state_dict(saved(uninterrupted.state_dict()))
            for step, turn in enumerate(history[cut:], start=cut + 1):
                one, other = uninterrupted.combine(*turn).clone(), resumed.combine(*turn)
                require(
                    torch.equal(one, other),
                    f"resumed after step {cut}, the gradient of step {step} differs by "
                    f"{float((one - other).abs().max()):.3g}: something is missing from state_dict()",
                )

    def test_determinism(self) -> None:
        """The result does not depend on the global random state, and does not change it."""
        given: list[list[Tensor]] = []
        for seed in (0, 1):
            with seeded(seed), assert_rng_untouched("the combiner"):
                combiner = self.make()
                given.append([combiner.combine(*turn).clone() for turn in self.history(len(self.tasks))])
        same = all(torch.equal(one, other) for one, other in zip(*given, strict=True))
        require(same, "combine() is not deterministic: the same gradients gave different results")

    def _follow(self, combiner: Any, turns: list[Turn]) -> None:
        for step, turn in enumerate(turns, start=1):
            found = combiner.combine(*turn)
            require(
                isinstance(found, torch.Tensor), f"combine() returns a {type(found).__name__}, not a tensor"
            )
            shape = tuple(found.shape)
            require(shape == (SIZE,), f"combine() returns shape {shape}, not {(SIZE,)}, at step {step}")
            dtype = turn.gradients.dtype
            require(found.dtype == dtype, f"combine() returns {found.dtype} for gradients of {dtype}")
            require(bool(torch.isfinite(found).all()), f"the combined gradient is not finite at step {step}")
