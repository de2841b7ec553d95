"""Checks of every mixer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mftkit.data.mixing import shares_of
from mftkit.testing.assertions import ConformanceError, require
from mftkit.testing.balancers import saved
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded
from mftkit_registry import MftError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mftkit.interfaces.mixer import Mixer


class MixerConformance(Conformance):
    """Checks of ``mftkit.Mixer``, with losses that fall at different rates, rise, and are NaN at times."""

    intervals: int = 12
    """Number of intervals in the history."""

    def history(self, count: int) -> list[tuple[list[float], list[float]]]:
        """Return the losses [tasks] before and after each interval; those of the last task are NaN at times."""
        random = np.random.default_rng(0)
        pace = 0.02 + 0.1 * random.random(count)
        moments = []
        for interval in range(self.intervals):
            before = 3 * np.exp(-pace * interval) * (0.95 + 0.1 * random.random(count))
            after = before * np.exp(-pace) * (0.97 + 0.06 * random.random(count))
            if count > 1 and interval % 4 == 3:
                before[-1] = after[-1] = math.nan
            moments.append((before.tolist(), after.tolist()))
        return moments

    def test_shares(self) -> None:
        """Shares [tasks] are finite, not negative, not all 0, and the same on a second call."""
        self._follow(self.make())

    def test_one_task(self) -> None:
        """The same with one task."""
        mixer = self.resized(1)
        if mixer is not None:
            self._follow(mixer)

    def test_many_tasks(self) -> None:
        """The same with 200 tasks."""
        try:
            mixer = self.resized(200)
        except MftError:  # its options name each task
            return
        self._follow(mixer)

    def test_what_it_states(self) -> None:
        """``interval`` and ``validation_samples`` are numbers that fit ``changes``."""
        mixer = self.make()
        interval, samples = mixer.interval, mixer.validation_samples
        least = 1 if mixer.changes else 0
        require(
            isinstance(interval, int) and interval >= least,
            f"interval must be an integer of at least {least} where changes is {mixer.changes}, but is {interval!r}",
        )
        require(
            isinstance(samples, int) and samples >= 0,
            f"validation_samples must be an integer of at least 0, but is {samples!r}",
        )

    def test_fixed_shares_stay(self) -> None:
        """Where ``changes`` is False, the shares depend on the options and the tasks alone."""
        mixer = self.make()
        if mixer.changes:
            return
        first = check_shares(mixer, "before the first step")
        for number in range(self.intervals):
            same = np.array_equal(self._play(mixer, number + 1, number), first)
            require(same, "changes is False, but the shares are others after observe()")

    def test_it_changes_nothing_it_is_given(self) -> None:
        """The mixer does not modify the losses it is given."""
        mixer = self.make()
        for number, (before, after) in enumerate(self.history(len(self.tasks)), start=1):
            kept = [*before], [*after]
            mixer.observe(number * max(1, mixer.interval), before, after)
            same = np.array_equal((before, after), kept, equal_nan=True)
            require(same, "observe() changes the losses that it is given")

    def test_state_round_trip(self) -> None:
        """A resumed mixer returns exactly the shares of an uninterrupted one."""
        for cut in (0, 1, self.intervals // 2):
            uninterrupted, resumed = self.make(), self.make()
            self._play(uninterrupted, cut)
            resumed.load_state_dict(saved(uninterrupted.state_dict()))
            for number in range(cut, self.intervals):
                one, other = (
                    self._play(uninterrupted, number + 1, number),
                    self._play(resumed, number + 1, number),
                )
                require(
                    np.array_equal(one, other),
                    f"resumed after interval {cut}, the shares after interval {number + 1} are {other.tolist()}, not "
                    f"{one.tolist()}: something is missing from state_dict()",
                )

    def test_determinism(self) -> None:
        """Shares do not depend on the global random state, and do not change it."""
        given: list[NDArray[np.float64]] = []
        for seed in (0, 1):
            with seeded(seed), assert_rng_untouched("the mixer"):
                given.append(self._play(self.make(), self.intervals))
        same = np.array_equal(given[0], given[1])
        require(same, "the shares are not deterministic: the same losses gave different shares")

    def _play(self, mixer: Any, until: int, start: int = 0) -> NDArray[np.float64]:
        """Show the mixer intervals ``start`` to ``until``; return its shares then."""
        history = self.history(len(mixer.tasks))
        for number in range(start, until):
            before, after = history[number] if mixer.validation_samples else (None, None)
            mixer.observe((number + 1) * max(1, mixer.interval), before, after)
        return check_shares(mixer, f"after interval {until}")

    def _follow(self, mixer: Mixer) -> None:
        check_shares(mixer, "before the first step")
        for number in range(self.intervals):
            self._play(mixer, number + 1, number)


def check_shares(mixer: Mixer, when: str) -> NDArray[np.float64]:
    """Return the shares; raise ConformanceError if core would reject them, or if a second call returns others."""
    try:
        shares = shares_of(mixer, len(mixer.tasks))
        same = np.array_equal(shares_of(mixer, len(mixer.tasks)), shares)
    except MftError as error:
        raise ConformanceError(f"{error} ({when})") from error
    require(same, f"shares() returns different shares on a second call {when}")
    return shares
