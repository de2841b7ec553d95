"""What does not go with ``data.streaming``: whatever needs all rows, or their number, before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.spec.mixing import WAYS
from mftkit.spec.model import ModelSpec, TrainBpe
from mftkit.spec.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.spec.data import StreamingSpec
    from mftkit.spec.mixing import MixingSpec
    from mftkit.spec.tasks import TaskSpec
    from mftkit.spec.training import TrainingSpec

_KEY = "data.streaming"


def streaming_problems(
    streaming: StreamingSpec,
    tasks: list[TaskSpec],
    mixing: MixingSpec | None,
    training: TrainingSpec,
    model: ModelSpec,
) -> list[Problem]:
    """Return the problems of a spec whose data is streamed; the arguments are its sections."""
    problems = [problem for index, task in enumerate(tasks) for problem in _of_task(index, task)]
    problems += [] if mixing is None else _of_mixing(mixing)
    if isinstance(model.tokenizer, TrainBpe):
        what = f"trains a tokenizer on all rows before the run, which {_KEY} does not read"
        hint = "; name a tokenizer: a path or a hub id"
        problems.append(Problem(("model", "tokenizer", "train_bpe"), what, shows_given=False, hint=hint))
    least = max(training.batch_size, len(tasks))
    if streaming.chunk < least:
        what = f"should be at least {least}, the rows of a step and one per task"
        problems.append(Problem(("data", "streaming", "chunk"), what, streaming.chunk))
    if training.max_steps is None:
        what = f"is needed with {_KEY}: the steps of an epoch are not known of a stream"
        problems.append(Problem(("training", "max_steps"), what, shows_given=False))
    if training.task_mean == "dataset":
        what = f"needs the tasks' sizes, which are not known with {_KEY}"
        hint = '; allowed: "present", "all"'
        problems.append(Problem(("training", "task_mean"), what, training.task_mean, hint=hint))
    return problems


def _of_task(index: int, task: TaskSpec) -> Iterator[Problem]:
    if task.generator is not None:
        what = f"makes all rows before the run, which {_KEY} does not"
        hint = '; make them with "mft generate", and name the file in train'
        yield Problem(("tasks", index, "generator"), what, task.generator.name, hint=hint)
    if task.filters:
        names = ", ".join(each.name for each in task.filters)
        what = f"read all rows before the run, which {_KEY} does not"
        hint = "; filter the rows beforehand, and name the file in train"
        yield Problem(("tasks", index, "filters"), what, names, hint=hint)
    if task.valid_generator is not None:
        what = f"needs all training rows, to leave out equal ones, which {_KEY} does not have"
        hint = '; make the rows with "mft generate", and name the file in valid'
        yield Problem(("tasks", index, "valid", "generator"), what, task.valid_generator.name, hint=hint)
    elif isinstance(task.valid, float | int) and task.valid:
        what = f"is a fraction, which needs a second pass over the training rows, and {_KEY} makes one"
        hint = "; name files or a data set, or set 0 for no validation"
        yield Problem(("tasks", index, "valid"), what, task.valid, hint=hint)


def _of_mixing(mixing: MixingSpec) -> Iterator[Problem]:
    """Yield what is not given shares of the rows."""
    hint = "; allowed: proportions by samples"
    for way in WAYS:
        if way != "proportions" and getattr(mixing, way) is not None:
            what = f"may need the tasks' sizes or all their samples, which are not known with {_KEY}"
            yield Problem(("mixing", way), what, shows_given=False, hint=hint)
    if mixing.proportions is not None:
        if mixing.by != "samples":
            what = f"needs the tasks' sizes, which are not known with {_KEY}"
            yield Problem(("mixing", "by"), what, mixing.by, hint='; allowed: "samples"')
        for name, part in mixing.proportions.items():
            if part == 0:
                what = f"should be above 0 with {_KEY}"
                yield Problem(("mixing", "proportions", name), what, part, hint="; or remove the task")
    if mixing.epoch_samples is not None:
        what = f"has no meaning with {_KEY}, whose chunk is the epoch"
        hint = "; leave it out, and set data.streaming.chunk"
        yield Problem(("mixing", "epoch_samples"), what, mixing.epoch_samples, hint=hint)
