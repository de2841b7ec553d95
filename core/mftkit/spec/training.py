"""The part of a spec about training: length, batch sizes, learning rate, validation and checkpoints."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.intervals import Every, Intervals, Time
from mftkit.spec.on_resuming import OnResuming
from mftkit.spec.parameter_groups import ParameterGroupSpec
from mftkit.spec.problems import Problem, refuse, refuse_one
from mftkit.spec.references import Place, unnamed
from mftkit.spec.section import Section

BestBy = str | dict[str, str]
"""A metric for all tasks, or for each task that is named."""
LOSS = "loss"
"""The value of ``best_by`` that stands for the validation loss."""
STOPS_TASKS = ("each", "rollback")
"""Criteria of early stopping that set the weights of single tasks to 0, so that validations decide the weights."""
MICRO_BATCH = 4
"""Default number of packed rows per forward pass."""
CHECKPOINT_EVERY: int | str | list[int | str] = ["epoch", "20 min"]
"""So that a run that stops loses little, whatever its size."""


class EarlyStoppingSpec(Section):
    """When to stop before the end."""

    patience: int = Field(ge=1)
    """Number of consecutive validations without a better loss after which training stops."""
    tasks: list[str] | None = Field(default=None, min_length=1)
    """The tasks that are watched; null: all tasks with validation rows."""
    criterion: Literal["mean", "each", "all", "rollback"] = "mean"
    """Which loss is watched, or metric (``best_by``). "mean": the mean over the watched tasks. "each": each task's
    own loss; a task that stops improving gets weight 0 from then on, and the run stops when all have. "all": each
    task's own loss; all tasks train until none of them improves any more. "rollback": as "each", and the run goes back
    to the step that was best for the task, with all its state, and continues from there without it (mSFT, arXiv
    2603.21606)."""


class TrainingSpec(Section):
    """Length, batch sizes, learning rate, validation and checkpoints."""

    epochs: Annotated[float, OnResuming("end")] = Field(default=1.0, gt=0)
    """Number of passes over the training data; fractions are allowed."""
    max_steps: Annotated[int | None, OnResuming("end")] = Field(default=None, ge=1)
    """Number of optimizer steps, overriding ``epochs``; null: as given by ``epochs``."""
    batch_size: int = Field(default=16, ge=1, le=2**20)
    """Packed rows per optimizer step, over all processes and micro-batches."""
    micro_batch_size: Annotated[int, OnResuming("free")] = Field(default=MICRO_BATCH, ge=1)
    """Packed rows per forward pass in one process; by default 4, or ``batch_size`` if that is smaller."""
    grouping: Literal["none", "task"] = "none"
    """Which packed rows share a forward pass: "none": any; "task": rows of one task. With ``gradients`` it is "task" by
    default."""
    task_mean: Literal["present", "all", "dataset"] = "present"
    """Tasks in the mean over tasks: "present": those in the batch; "all": all tasks; "dataset": all tasks, with the
    counts of the whole data set."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate, reached after the warmup; null: the default of the tuning."""
    min_learning_rate: float = Field(default=0.0, ge=0)
    """Learning rate at the end of training."""
    optimizer: Annotated[ComponentRef, Place(kinds.OPTIMIZER)] = Field(default_factory=unnamed)
    """The optimizer, which updates the weights."""
    parameter_groups: list[ParameterGroupSpec] = Field(default_factory=list)
    """Parameters with their own learning rate or weight decay; the first one that matches a parameter decides."""
    scheduler: Annotated[ComponentRef, Place(kinds.SCHEDULE)] = Field(default_factory=unnamed)
    """The schedule, by which the learning rate decreases after the warmup."""
    warmup: float = Field(default=0.05, ge=0)
    """Length of the warmup: a share of all steps if less than 1, otherwise a number of steps."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Weight decay, applied to weight matrices."""
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    """Gradients with a larger norm are scaled down to this norm; null: never."""
    gradient_checkpointing: Annotated[bool | Literal["selective"], OnResuming("free")] = False
    """Whether activations are recomputed, which takes about a third more time and much less memory. "selective":
    all but the results of products with weight matrices and of attention: little more time, and less memory."""
    compile: Annotated[bool, OnResuming("free")] = False
    """Whether torch.compile makes kernels of the decoder layers; rows are then padded to few lengths, so that it
    compiles few times."""
    fused_kernels: Annotated[bool, OnResuming("free")] = False
    """Whether norms, rotary positions and SwiGLU run by the kernels of the package liger-kernel, and the softmax of the
    head by kernels of torch.compile; on CUDA."""
    check_memory: Annotated[bool, OnResuming("free")] = True
    """Whether a run is refused, before its weights are loaded, whose weights, gradients and optimizer alone exceed the
    device's memory; activations are not counted."""
    log_every: Annotated[int, OnResuming("free")] = Field(default=10, ge=1)
    """Optimizer steps between two lines of metrics."""
    evaluate_every: Annotated[Every, OnResuming("validation")] = "epoch"
    """Optimizer steps between two validations, or "epoch"."""
    checkpoint_every: Annotated[Intervals, OnResuming("free")] = Field(default=CHECKPOINT_EVERY)
    """When a checkpoint is saved: every so many optimizer steps, after each "epoch", or a time such as "20 min" after
    the last one; of several intervals the one that ends first."""
    keep_checkpoints: Annotated[int, OnResuming("free")] = Field(default=2, ge=1)
    """Number of recent checkpoints that are kept."""
    asynchronous_checkpoints: Annotated[bool, OnResuming("free")] = True
    """Whether training continues while a checkpoint is written, from a copy in the host's memory: one of all that a
    process writes. False: it waits, and no copy is made."""
    best_per_task: Annotated[bool | None, OnResuming("free")] = None
    """Whether best/ keeps each task's best model and the best by mean rank, in addition to model/, the best by mean
    loss; null: only if the result is an adapter, which is small."""
    best_by: BestBy = LOSS
    """What makes a step the best: "loss", the validation loss; or a metric of the tasks' ``evaluate`` sections, as
    "EVALUATOR/METRIC", for each task that has it; or an object from tasks to their
    metrics. ``model/``, ``best/`` and early stopping follow it. A metric needs ``evaluation.every``."""
    early_stopping: Annotated[EarlyStoppingSpec | None, OnResuming("end")] = None
    """When to stop because validation no longer improves; null: never."""
    watchdog: Annotated[Time, OnResuming("free")] = None
    """Time such as "10 min" after which the run ends as failed if no step, validation or checkpoint has ended in all
    processes, with the place where those that are behind hang; longer than the longest of them. null: never."""
    extension: Annotated[Literal["stretch", "hold"], OnResuming("free")] = "stretch"
    """What becomes of the learning rate if a resumed run is made longer or shorter. "stretch": its schedule is
    stretched to the new end; "hold": it stays as it was, and after its end the learning rate keeps its last value."""

    @model_validator(mode="before")
    @classmethod
    def _micro_batch(cls, data: object) -> object:
        """Make a batch that is smaller than the default micro-batch one micro-batch."""
        if not isinstance(data, dict):
            return data
        size = data.get("batch_size")
        if isinstance(size, int) and "micro_batch_size" not in data and 1 <= size < MICRO_BATCH:
            return {**data, "micro_batch_size": size}
        return data

    @field_validator("micro_batch_size")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch_size", value)
        if value > batch:
            refuse_one(f"should be at most batch_size, {batch}", value)
        return value

    @field_validator("min_learning_rate")
    @classmethod
    def _below(cls, value: float, info: ValidationInfo) -> float:
        problem = below_learning_rate(value, info.data.get("learning_rate"))
        if problem is not None:
            refuse([problem])
        return value

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after the warmup; a spec has filled in the default of its tuning."""
        assert self.learning_rate is not None, "a spec fills in the default of its tuning"
        return self.learning_rate

    @field_validator("warmup")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value >= 1 and not value.is_integer():
            refuse_one("should be less than 1 (a share of all steps) or an integer number of steps", value)
        return value


def below_learning_rate(minimum: float, peak: float | None, source: str = "") -> Problem | None:
    """Return what is wrong with ``min_learning_rate``; ``source`` says where the peak comes from."""
    if peak is None or minimum <= peak:
        return None
    return Problem((), f"should be at most learning_rate, {peak:g}{source}", minimum)
