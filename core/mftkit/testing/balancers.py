"""Checks of every balancer."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded
from mftkit.training.balancing import Balancing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from mftkit.interfaces.balancer import Balancer

LONGEST = 600
"""Maximum number of steps in the history."""


class Moment(NamedTuple):
    """The losses [tasks] around one step."""

    step: int
    train: Tensor
    """Losses of the step's batch before the update; NaN for absent tasks."""
    again: Tensor
    """Losses of the same batch after the update."""
    valid: Tensor
    """Losses of validation samples after the update."""


class BalancerConformance(Conformance):
    """Checks of ``mftkit.Balancer``, on a history of falling, noisy losses."""

    steps: int = 40
    """Number of steps in the history, unless ``needs_validation`` requires more."""

    def history(self, balancer: Balancer) -> list[Moment]:
        """Return moments from step 0 (before the first update) on; in some steps, some tasks are absent.

        If there are several tasks, the last one is absent from training in the first half.
        """
        count = len(balancer.tasks)
        steps = min(LONGEST, max(self.steps, 6 * balancer.needs_validation))
        generator = torch.Generator().manual_seed(0)

        def draw() -> Tensor:
            return torch.rand(count, dtype=torch.float64, generator=generator)

        start, pace = 2 + 4 * draw(), 0.3 + draw()
        moments = []
        for step in range(steps + 1):
            before, after = (start * (time + 1) ** (-0.5 * pace) for time in (max(step - 1, 0), step))
            noise = 0.9 + 0.2 * draw()
            absent = draw() < 0.3
            if step <= steps // 2 and count > 1:
                absent[-1] = True
            absent[step % max(1, count - 1)] = False  # every step has at least one task
            train, again = (torch.where(absent, torch.nan, losses * noise) for losses in (before, after))
            moments.append(Moment(step, train, again, after * (1 + 0.02 * draw())))
        return moments

    def test_weights(self) -> None:
        """Weights [tasks] are finite, not negative, not all 0, and the same on a second call."""
        self._follow(self.make())

    def test_one_task(self) -> None:
        """The same with one task."""
        balancer = self.resized(1)
        if balancer is not None:
            self._follow(balancer)

    def test_many_tasks(self) -> None:
        """The same with 200 tasks."""
        self._follow(self.resized(200))

    def test_what_it_needs(self) -> None:
        """``needs_validation`` is 0 or a number of steps, ``validation_samples`` a number of samples."""
        balancer = self.make()
        every, samples, reuse = (
            balancer.needs_validation,
            balancer.validation_samples,
            balancer.minibatch_reuse,
        )
        require(
            isinstance(every, int) and every >= 0,
            f"needs_validation must be an integer of at least 0, but is {every!r}",
        )
        require(
            isinstance(samples, int) and samples >= 1,
            f"validation_samples must be an integer of at least 1, but is {samples!r}",
        )
        require(
            isinstance(reuse, int) and reuse >= 0,
            f"minibatch_reuse must be an integer of at least 0, but is {reuse!r}",
        )
        known = balancer.compares in (None, "validation", "training")
        require(known, f'compares must be None, "validation" or "training", but is {balancer.compares!r}')
        given = balancer.compares != "validation" or every > 0
        require(
            given,
            'compares is "validation", but needs_validation is 0: the balancer would never get any losses',
        )

    def test_metrics(self) -> None:
        """``metrics`` returns numbers by name, before and after steps, and does not change the weights."""
        balancer = self.make()
        history = self.history(balancer)
        rehearsal, undisturbed = Rehearsal(balancer, history), Rehearsal(self.make(), history)
        for moment in history[1:]:
            values = dict(balancer.metrics())
            for name, value in values.items():
                is_number = isinstance(name, str) and isinstance(float(value), float)
                require(is_number, f"metrics() returns {name!r}: {value!r}")
            same = torch.equal(rehearsal.play(moment.step), undisturbed.play(moment.step))
            require(same, f"metrics() changes the weights of step {moment.step}")

    def test_it_changes_nothing_it_is_given(self) -> None:
        """The balancer does not modify the losses it is given."""
        balancer = self.make()
        history = self.history(balancer)
        kept = [[losses.clone() for losses in moment[1:]] for moment in history]
        rehearsal = Rehearsal(balancer, history)
        for moment, were in zip(history[1:], kept[1:], strict=True):
            rehearsal.play(moment.step)
            same = all(
                torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(moment[1:], were, strict=True)
            )
            require(same, f"the balancer changed the losses that it was given at step {moment.step}")

    def test_state_round_trip(self) -> None:
        """A resumed balancer returns exactly the weights of an uninterrupted one."""
        history = self.history(self.make())
        for cut in (0, 1, len(history) // 2):
            uninterrupted = Rehearsal(self.make(), history)
            for step in range(1, cut + 1):
                uninterrupted.play(step)
            resumed = Rehearsal(self.make(), history)
            resumed.balancing.load_state_dict(saved(uninterrupted.balancing.state_dict()))
            for step in range(cut + 1, len(history)):
                one, other = uninterrupted.play(step), resumed.play(step)
                require(
                    torch.equal(one, other),
                    f"resumed after step {cut}, weights at step {step} are {shown(other)}, not "
                    f"{shown(one)}: something is missing from state_dict()",
                )

    def test_determinism(self) -> None:
        """Weights do not depend on the global random state, and do not change it."""
        given: list[list[Tensor]] = []
        for seed in (0, 1):
            with seeded(seed), assert_rng_untouched("the balancer"):
                balancer = self.make()
                history = self.history(balancer)
                rehearsal = Rehearsal(balancer, history)
                given.append([rehearsal.play(step).clone() for step in range(1, len(history))])
        same = all(torch.equal(one, other) for one, other in zip(*given, strict=True))
        require(same, "the weights are not deterministic: the same losses gave different weights")

    def test_neutrality(self) -> None:
        """If ``neutral`` is True, all tasks have the same weight at every step."""
        balancer = self.make()
        if not balancer.neutral:
            return
        history = self.history(balancer)
        rehearsal = Rehearsal(balancer, history)
        for step in range(1, len(history)):
            weights = rehearsal.play(step)
            same = torch.equal(weights, weights[:1].expand_as(weights))
            require(same, f"neutral is True, but at step {step} the weights differ: {shown(weights)}")

    def _follow(self, balancer: Balancer) -> None:
        check_weights(balancer, "before the first step")
        history = self.history(balancer)
        rehearsal = Rehearsal(balancer, history)
        for step in range(1, len(history)):
            rehearsal.play(step)
            check_weights(balancer, f"after step {step}")


class Rehearsal:
    """Feeds a history of losses to a balancer, as training does."""

    def __init__(self, balancer: Balancer, history: Sequence[Moment]) -> None:
        self._history = history
        self._now = 0
        self.balancing = Balancing(balancer, len(balancer.tasks), self._take)

    def _take(self, turn: int, samples: int) -> Tensor:
        # Each mini-batch has slightly different losses, which all fall over time.
        return self._history[self._now].valid * (1 + 0.01 * math.sin(turn) / samples)

    def play(self, step: int) -> Tensor:
        """Simulate step ``step``; return the weights [tasks] used in it."""
        moment = self._history[step]
        balancing = self.balancing
        self._now = step - 1
        balancing.before_step(step)
        weights = balancing.weights(step, moment.train if balancing.needs_step_losses else None)
        self._now = step
        balancing.after_step(
            step, moment.train, moment.again if balancing.needs_losses_after_update else None
        )
        return weights


def check_weights(balancer: Balancer, when: str) -> None:
    """Raise ConformanceError if core would reject the weights, or if a second call returns different ones."""
    weights, tasks = balancer.weights(), len(balancer.tasks)
    require(
        isinstance(weights, torch.Tensor),
        f"weights() returns a {type(weights).__name__}, not a tensor, {when}",
    )
    require(weights.shape == (tasks,), f"weights have shape {tuple(weights.shape)}, not {(tasks,)}, {when}")
    fine = bool(torch.isfinite(weights).all() and (weights >= 0).all() and (weights > 0).any())
    require(fine, f"weights must be finite, not negative and not all 0: {shown(weights)} {when}")
    kept = weights.clone()
    require(
        torch.equal(balancer.weights(), kept), f"weights() returns different weights on a second call {when}"
    )


def saved(state: Any) -> Any:
    """Return the state after a round trip through a checkpoint."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def shown(weights: Tensor) -> str:
    """Format the first few weights for a message."""
    return f"{weights[:6].tolist()}{' ...' if len(weights) > 6 else ''}"
