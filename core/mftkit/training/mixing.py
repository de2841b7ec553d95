"""Asks a mixer for each interval's shares, and shows it the validation losses around the interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

from mftkit.batches.changing_sampler import ChangingSampler
from mftkit.data.mixing import shares_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from mftkit.batches.sampler import BatchSampler
    from mftkit.interfaces.mixer import Mixer
    from mftkit.processes import Processes


class MixingState(TypedDict):
    """The part of a checkpoint that belongs to a mixer that changes the shares."""

    mixer: dict[str, Any]
    """What the mixer's own ``state_dict`` returned."""
    draws: list[list[int]]
    """[intervals][tasks] samples drawn, with those of the interval that is under way."""
    held: list[float] | None
    """[tasks] losses of the validation mini-batch at the start of the interval that is under way."""


class StreamState(TypedDict):
    """The part of a checkpoint that belongs to streamed data."""

    ends: list[int]
    """The last step of each chunk up to that of the checkpoint, so that a resumed run need not make earlier chunks."""


class Mixing:
    """The mixing of a run with fixed shares: there is nothing to do in a step, and nothing to keep."""

    def before_step(self, step: int) -> None:
        """Called before each step."""

    def after_step(self, step: int) -> None:
        """Called after the update of each step."""

    def shares_at(self, step: int) -> dict[str, float]:  # noqa: ARG002
        """Each task's share of the samples in the interval of ``step``; empty where shares do not change."""
        return {}

    def state_dict(self) -> MixingState | StreamState | None:
        """What a checkpoint keeps; None if there is nothing."""
        return None

    def load_state_dict(self, state: MixingState | StreamState | None) -> None:
        """Restore what ``state_dict`` returned."""


class StreamMixing(Mixing):
    """The sampling of a run whose data is streamed: where chunks end is known only once they were made."""

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler

    def state_dict(self) -> StreamState:
        """The last steps of the chunks."""
        return {"ends": self._sampler.ends}

    def load_state_dict(self, state: MixingState | StreamState | None) -> None:
        """Restore what ``state_dict`` returned."""
        assert state is not None, "a run whose data is streamed has it in every checkpoint"
        self._sampler.restore_ends(cast("StreamState", state)["ends"])


class ChangingMixing(Mixing):
    """A mixer within a run: interval k uses validation mini-batch k, before its first step and after its last one."""

    def __init__(
        self,
        mixer: Mixer,
        sampler: ChangingSampler,
        minibatch_losses: Callable[[int, int], Tensor],
        processes: Processes,
    ) -> None:
        """``minibatch_losses(number, samples)`` returns losses [tasks] of a mini-batch by the present weights."""
        self._mixer = mixer
        self._sampler = sampler
        self._minibatch_losses = minibatch_losses
        self._processes = processes
        self._before: list[float] | None = None
        self._decide()

    def before_step(self, step: int) -> None:
        """Evaluate the mini-batch of the interval that begins with ``step``."""
        interval, place = divmod(step - 1, self._sampler.interval)
        if place == 0 and self._before is None:
            self._before = self._losses(interval)

    def after_step(self, step: int) -> None:
        """After an interval's last step, show its gain to the mixer and decide the next one."""
        if step % self._sampler.interval:
            return
        before, self._before = self._before, None
        self._mixer.observe(step, before, self._losses(step // self._sampler.interval - 1))
        self._decide()

    def shares_at(self, step: int) -> dict[str, float]:
        """Each task's share of the samples that the interval of ``step`` draws."""
        counts = self._sampler.draws[(step - 1) // self._sampler.interval]
        return {task.name: count / sum(counts) for task, count in zip(self._mixer.tasks, counts, strict=True)}

    def state_dict(self) -> MixingState | None:
        """The mixer's state, what was drawn, and the losses with which it will compare."""
        return {"mixer": self._mixer.state_dict(), "draws": self._sampler.draws, "held": self._before}

    def load_state_dict(self, state: MixingState | StreamState | None) -> None:
        """Restore what ``state_dict`` returned."""
        assert state is not None, "a run whose mixing changes has it in every checkpoint"
        own = cast("MixingState", state)
        self._mixer.load_state_dict(own["mixer"])
        self._sampler.restore(own["draws"])
        self._before = own["held"]

    def _losses(self, interval: int) -> list[float] | None:
        samples = self._mixer.validation_samples
        if not samples:
            return None
        # Of the main process: sums over processes need not be the same to the last bit in all of them.
        return self._processes.from_main(self._minibatch_losses(interval, samples).double().tolist())

    def _decide(self) -> None:
        shares = shares_of(self._mixer, len(self._mixer.tasks))
        self._sampler.decide(self._processes.from_main(shares))


def make_mixing(
    mixer: Mixer | None,
    sampler: BatchSampler,
    minibatch_losses: Callable[[int, int], Tensor],
    processes: Processes,
    *,
    streams: bool = False,
) -> Mixing:
    """The mixing of a run; ``mixer`` None: it mixes nothing. ``streams``: whether the data is streamed."""
    if streams:
        return StreamMixing(sampler)
    if mixer is None or not isinstance(sampler, ChangingSampler):
        return Mixing()
    return ChangingMixing(mixer, sampler, minibatch_losses, processes)
