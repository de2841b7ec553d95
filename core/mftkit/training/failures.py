"""The messages of a run that fails: what is not finite or too large, where, and how to fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.batches.sampler import BatchSampler
    from mftkit.data.corpus import Corpus
    from mftkit.processes import Processes
    from mftkit.spec import TrainingSpec
    from mftkit.training.nonfinite import NonFiniteLossError

SAMPLES_SHOWN = 8


def describe_nonfinite(
    error: NonFiniteLossError,
    corpus: Corpus,
    sampler: BatchSampler,
    processes: Processes,
    saved_steps: list[int],
) -> str:
    """The message for a loss or gradient that is not finite; every process must call it.

    Args:
        error: in this process.
        corpus: the run's data.
        sampler: the run's steps.
        processes: whose findings are put together.
        saved_steps: steps that have a checkpoint.
    """
    gathered = processes.gather((error.tasks, error.samples))
    tasks = sorted({task for each, _ in gathered for task in each})
    samples = [sample for _, each in gathered for sample in each]
    if error.validation:
        problem = (
            f"the validation loss is not finite at step {error.step}; tasks: {_task_names(corpus, tasks)}"
        )
    else:
        problem = _training_problem(error.step, tasks, samples, corpus, sampler)
    return f"{problem}. {_hint(saved_steps)}"


def _training_problem(
    step: int, tasks: list[int], samples: list[int], corpus: Corpus, sampler: BatchSampler
) -> str:
    what, of_epoch = "the loss", corpus.train.in_epoch(sampler[step].epoch)
    if not samples:
        # Every log-probability was finite: the gradient overflowed, and no single sample can be blamed.
        what = "the loss" if tasks else "the gradient"
        batch = sampler[step]
        samples = [int(i) for row in batch.rows for i in row if not tasks or of_epoch.task[i] in tasks]
        tasks = tasks or [int(i) for i in batch.tokens.nonzero()[0]]
    shown = ", ".join(f"{i} ({of_epoch.origin(i)})" for i in samples[:SAMPLES_SHOWN])
    more = f" and {len(samples) - SAMPLES_SHOWN} more" if len(samples) > SAMPLES_SHOWN else ""
    return f"{what} is not finite in step {step}; tasks: {_task_names(corpus, tasks)}; samples: {shown}{more}"


def _task_names(corpus: Corpus, tasks: list[int]) -> str:
    return ", ".join(corpus.tasks[i].name for i in tasks)


def _hint(saved_steps: list[int]) -> str:
    """The same spec would fail again, and a run cannot be resumed with another one."""
    kept = f" The checkpoint of step {saved_steps[-1]} was kept." if saved_steps else ""
    return f"Lower training.learning_rate or fix the data, then rerun with --fresh or another output.{kept}"


def describe_out_of_memory(
    error: BaseException, step: int, training: TrainingSpec, saved_steps: list[int]
) -> str:
    """The message for a step that needs more memory than there is."""
    details = str(error).splitlines()[0] if str(error) else "no details"
    ways = []
    if training.micro_batch_size > 1:
        half = training.micro_batch_size // 2
        ways.append(f"lower training.micro_batch_size (--set training.micro_batch_size={half})")
    if training.gradient_checkpointing is not True:
        ways.append("set training.gradient_checkpointing to true")
    if not ways:
        return (
            f"out of memory in step {step} ({details}). One row per forward pass is too much, so lower max_length, "
            "which needs --fresh, or use a device with more memory."
        )
    where = f"from step {saved_steps[-1]}" if saved_steps else "from step 0, because no checkpoint was saved"
    return (
        f"out of memory in step {step} ({details}). Run the same command again with one change: {', or '.join(ways)}. "
        f"The run resumes {where}, with the same batches and, up to rounding and dropout, the same numbers."
    )
