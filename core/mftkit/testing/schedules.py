"""Checks of every schedule."""

from __future__ import annotations

from mftkit.testing.assertions import advise, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded
from mftkit_registry import MftError

LENGTHS = ((0, 1), (0, 2), (1, 2), (0, 100), (5, 100), (99, 100), (30, 1000))
"""Steps of the warmup, and of the run, that are tried."""


class ScheduleConformance(Conformance):
    """Checks of ``mftkit.Schedule``, with runs of different lengths; those that ``check`` refuses are left out."""

    def test_bounds(self) -> None:
        """Each step's share is a number from 0 to 1, with and without warmup."""
        tried = 0
        for warmup, end in LENGTHS:
            for step, share in enumerate(self._shares(warmup, end), start=warmup + 1):
                require(
                    isinstance(share, float | int) and 0 <= share <= 1,
                    f"share(step={step}, warmup={warmup}, end={end}) is {share!r}, not a number from 0 to 1",
                )
                tried += 1
        require(tried > 0, f"check() refuses each of these runs (warmup, end): {LENGTHS}; set other options")

    def test_starts_near_the_peak(self) -> None:
        """In a long run the first step after the warmup is near the peak, so that the learning rate does not jump."""
        for warmup, end in LENGTHS:
            shares = self._shares(warmup, end) if end - warmup >= 90 else []
            if shares and shares[0] < 0.8:
                advise(
                    f"share(step={warmup + 1}, warmup={warmup}, end={end}) is {shares[0]:g}: far below the peak, at "
                    "which the warmup has just arrived"
                )

    def test_depends_on_its_arguments_alone(self) -> None:
        """The shares of another instance, in another order and with another random state, are the same."""
        for warmup, end in LENGTHS:
            shares = self._shares(warmup, end)
            with seeded(1), assert_rng_untouched("the schedule"):
                again = self._shares(warmup, end, backwards=True)
            require(
                shares == again, f"share() is not the same in another order, with warmup={warmup}, end={end}"
            )

    def _shares(self, warmup: int, end: int, *, backwards: bool = False) -> list[float]:
        """Return the shares of all steps after the warmup; none if ``check`` refuses the run."""
        schedule = self.make()
        try:
            schedule.check(warmup, end)
        except MftError:
            return []
        steps = range(warmup + 1, end + 1)
        found = {
            step: schedule.share(step, warmup, end) for step in (reversed(steps) if backwards else steps)
        }
        return [found[step] for step in steps]
