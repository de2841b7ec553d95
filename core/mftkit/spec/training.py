"""The part of a spec about training: how long, how large, how fast, and what is kept."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator, model_validator

from mftkit.spec.problems import refuse_one
from mftkit.spec.section import Section

MICRO_BATCH = 4
"""Rows of a forward pass where the spec does not say."""


def _every(value: Any) -> int | Literal["epoch"]:
    if value == "epoch":
        return "epoch"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse_one('should be a whole number of steps, at least 1, or "epoch"', value)
    return value


Every = Annotated[
    int | Literal["epoch"],
    PlainValidator(_every),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "epoch"}]}),
]


class EarlyStoppingSpec(Section):
    """When to stop before the end."""

    patience: int = Field(ge=1)
    """Validations in a row without a better loss."""
    tasks: list[str] | None = Field(default=None, min_length=1)
    """The tasks that are watched; null: all that have validation rows."""
    criterion: Literal["mean", "each", "all"] = "mean"
    """Whose loss: "mean": the mean over the watched tasks. "each": each task's own; one that gets no better has
    weight 0 from then on, and the run stops when all have. "all": each task's own; the run stops when no task gets
    better any more, and all train until then."""


class TrainingSpec(Section):
    """Training."""

    epochs: float = Field(default=1.0, gt=0)
    """Passes over the training rows; a part of one is allowed."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; overrides ``epochs``. Null: as many as the epochs have."""
    batch_size: int = Field(default=16, ge=1)
    """Rows of an optimizer step, over all processes and micro-batches."""
    micro_batch_size: int = Field(default=MICRO_BATCH, ge=1)
    """Rows of a forward pass of one process; where left out, 4, or ``batch_size`` if that is less."""
    grouping: Literal["none", "task"] = "none"
    """What the rows of a forward pass share: "none": nothing. "task": their task, which ``gradients`` needs, and
    which is meant where that is set and this is left out."""
    task_mean: Literal["present", "all", "dataset"] = "present"
    """What N of the mean over tasks counts: those present in the batch, all, or the data set's own counts."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """The highest learning rate, after the warm-up."""
    min_learning_rate: float = Field(default=0.0, ge=0)
    """The learning rate at the end."""
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: float = Field(default=0.05, ge=0)
    """Under 1: a share of all steps; else a whole number of steps."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Of AdamW, on the weight matrices."""
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm; null: never."""
    gradient_checkpointing: bool = False
    """Spends a third more time to keep far fewer activations in memory."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two lines of metrics."""
    evaluate_every: Every = "epoch"
    """Steps between two validations, or "epoch"."""
    checkpoint_every: Every = "epoch"
    """Steps between two checkpoints, or "epoch"."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the newest checkpoints stay."""
    best_per_task: bool | None = None
    """Whether best/ holds each task's own best and the best by mean rank, beside model/, the best by mean; null:
    where the result is an adapter, which is small."""
    early_stopping: EarlyStoppingSpec | None = None
    """Stops when validation gets no better; null: never."""

    @model_validator(mode="before")
    @classmethod
    def _micro_batch(cls, data: Any) -> Any:
        """A batch smaller than the usual micro-batch is one micro-batch."""
        size = data.get("batch_size") if isinstance(data, dict) else None
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
        highest = info.data.get("learning_rate", value)
        if value > highest:
            refuse_one(f"should be at most learning_rate, {highest}", value)
        return value

    @field_validator("warmup")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value >= 1 and not value.is_integer():
            refuse_one("should be under 1 (a share of all steps) or a whole number of steps", value)
        return value
