"""The validation losses of a model that is on disk, as a run measures them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from mftkit.batches.batcher import Batcher
from mftkit.data.corpus import prepare_validation
from mftkit.interfaces.tuning import Tuning
from mftkit.models.pad_token import choose_pad
from mftkit.models.rotary import fix_rotary
from mftkit.processes import Processes
from mftkit.runs.reference_loading import load_reference
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.objective import accumulation_dtype
from mftkit.training.precision import choose_precision
from mftkit.training.validation import Validator
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.data.samples import Samples
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.training.precision import Precision


@dataclass(frozen=True)
class TaskLoss:
    """A task's validation loss."""

    loss: float
    """Exact mean over the loss tokens, nats per token."""
    tokens: int
    """Loss tokens."""
    samples: int


@dataclass(frozen=True)
class MeasuredModel:
    """A model on disk, loaded so that it measures losses as a run does."""

    adapter: ModelAdapter
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    logprob_model: LogprobModel
    batcher: Batcher
    precision: Precision
    place: str

    def losses(self, samples: Samples, num_tasks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums [tasks] of -log p in nats and of loss tokens over samples."""
        dtype = accumulation_dtype(self.batcher.processes.device)
        return Validator(samples, num_tasks, self.batcher, dtype).losses(self.logprob_model)


def load_measured(spec: Spec, reference: str | Path, reporter: Reporter) -> MeasuredModel:
    """Load what a reference stands for; the spec names the dtype, ``max_length`` and the size of micro-batches.

    Raises MftError if it cannot be loaded.
    """
    processes = Processes()
    precision = choose_precision(spec.model.dtype, processes.device, reporter)
    adapter, model, tokenizer, place = load_reference(reference, reporter)
    if not tokenizer.chat_template:
        tokenizer.chat_template = adapter.chat_template(tokenizer)
    if tokenizer.pad_token_id is None:
        choose_pad(tokenizer, model, may_grow=False, known=adapter.pad_tokens)
    tuning = _AsLoaded(None, ())
    fix_rotary(tuning.base_model(model), spec.max_length)
    module = _placed(model, processes.device, precision)
    logprob_model = LogprobModel(module, adapter, tuning, precision.autocast)
    batcher = Batcher(processes, spec.training.micro_batch_size, spec.max_length, int(tokenizer.pad_token_id))
    return MeasuredModel(adapter, model, tokenizer, logprob_model, batcher, precision, place)


@with_own_plugins
def validation_losses(spec: Spec, reference: str | Path, reporter: Reporter) -> dict[str, TaskLoss]:
    """Measure the losses of each task's validation samples.

    The samples are made with the model's own tokenizer and the spec's chat format and ``max_length``; each is isolated
    from the others. The numbers are those of a run's valid lines, up to the rounding with which the model was saved.

    Args:
        spec: names the tasks, the data and the dtype of the arithmetic.
        reference: to the weights: a run, RUN@STEP, a directory of weights and so on.
        reporter: receives progress and warnings.

    Raises:
        MftError: the model cannot be loaded, or a task has no validation samples.
    """
    return losses_of(load_measured(spec, reference, reporter), spec, reporter)


def losses_of(measured: MeasuredModel, spec: Spec, reporter: Reporter) -> dict[str, TaskLoss]:
    """As ``validation_losses``, of a model that is loaded."""
    samples = prepare_validation(spec, measured.tokenizer, reporter)
    empty = [task.name for i, task in enumerate(spec.tasks) if not (samples.task == i).any()]
    if empty:
        raise MftError(
            f"tasks[].valid: {', '.join(empty)} has no validation samples; set valid, or leave it out."
        )
    with reporter.progress("validation", None):
        nll, tokens = measured.losses(samples, len(spec.tasks))
    counts = [int((samples.task == i).sum()) for i in range(len(spec.tasks))]
    return {
        task.name: TaskLoss(float(nll[i] / tokens[i]), int(tokens[i]), counts[i])
        for i, task in enumerate(spec.tasks)
    }


def _placed(model: PreTrainedModel, device: torch.device, precision: Precision) -> nn.Module:
    """The model where and in the dtype in which a run would validate it.

    The base of an adapter keeps its own dtype if products are in a narrower one, and quantized weights keep theirs.
    """
    module = cast("nn.Module", model)
    if getattr(model, "is_quantized", False):
        return module
    keeps_dtype = hasattr(model, "peft_config") and precision.autocast is not None
    return module.to(device) if keeps_dtype else module.to(device, precision.weights)


class _AsLoaded(Tuning):
    """Nothing is trained: the model, or the model inside a PEFT adapter's, whose layers are the adapted ones."""

    def base_model(self, model: nn.Module) -> PreTrainedModel:
        """The model whose layers compute the hidden states."""
        if not hasattr(model, "peft_config"):
            return cast("PreTrainedModel", model)
        tuned = cast("PeftModel", model)
        if tuned.active_peft_config.is_prompt_learning:
            raise MftError("RUN: an adapter that adds tokens to the prompt cannot be evaluated here")
        return cast("PreTrainedModel", tuned.get_base_model())
