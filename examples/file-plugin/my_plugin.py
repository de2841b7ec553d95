"""A loss and a callback in one file, which the spec beside it names."""

import torch
from pydantic import Field

import mftkit


@mftkit.hookimpl
def register_losses(register):
    """Name the loss."""
    register("margin", Margin, summary="costs only the part of a token's loss above a margin")


@mftkit.hookimpl
def register_callbacks(register):
    """Name the callback."""
    register("stop-when-flat", StopWhenFlat, summary="ends the run once its validation loss no longer falls")


class Margin(mftkit.Loss):
    """For each task the mean over its tokens of max(0, -log p - margin), in nats."""

    linear = True  # task_losses is linear in the statistics

    class Options(mftkit.Options):
        """Options in a spec."""

        margin: float = Field(default=0.1, ge=0)
        """The loss up to which a token costs nothing, in nats."""

    def statistics(self, tokens: mftkit.Tokens) -> torch.Tensor:
        """Return the sums [tasks, 1] of what each token costs."""
        excess = (-tokens.logprobs - self.options.margin).clamp(min=0)
        sums = excess.new_zeros(tokens.num_tasks, 1)
        return sums.index_add(0, tokens.task, excess.unsqueeze(1))

    def task_losses(self, totals: mftkit.Totals) -> torch.Tensor:
        """Return the means [tasks]."""
        return totals.statistics[:, 0] / totals.tokens.clamp(min=1)


class StopWhenFlat(mftkit.Callback):
    """Ends the run at the first validation whose mean loss has hardly fallen since the one before."""

    class Options(mftkit.Options):
        """Options in a spec."""

        least: float = Field(default=0.01, gt=0)
        """Smallest fall of the mean validation loss that counts, in nats per token."""

    def __init__(self, options=None, tasks=()):
        super().__init__(options, tasks)
        self.last = None

    def on_validation_end(self, run, metrics):
        """Compare the loss with the last one."""
        if self.last is not None and self.last - metrics["loss"] < self.options.least:
            run.stop(f"the validation loss fell by less than {self.options.least}")
        self.last = metrics["loss"]

    def state_dict(self):
        """Return the last loss."""
        return {"last": self.last}

    def load_state_dict(self, state):
        """Restore it."""
        self.last = state["last"]
