"""A loss that is not in mftkit, in one file."""

import mftkit


@mftkit.hookimpl
def register_losses(register):
    """Called by mftkit when it starts."""
    register("token-square", TokenSquare, summary="squares each token's loss before the task mean")


class TokenSquare(mftkit.Loss):
    """Per task, the mean over its tokens of scale * (log p)^2; then the mean over the tasks present."""

    linear = True  # task_losses is linear in the statistics

    class Options(mftkit.Options):
        """Options in a spec: ``{"name": "token-square", "options": {"scale": 2}}``."""

        scale: float = 1.0
        """Factor of the whole loss."""

    def statistics(self, tokens):
        """Return sums over one micro-batch, [tasks, 1]; mftkit adds them over micro-batches and processes."""
        s = tokens.logprobs.new_zeros(tokens.num_tasks, 1)
        return s.index_add(0, tokens.task, self.options.scale * tokens.logprobs.square().unsqueeze(1))

    def task_losses(self, totals):
        """Return one loss per task, [tasks], from the sums over the global batch."""
        return totals.statistics[:, 0] / totals.tokens.clamp(min=1)
