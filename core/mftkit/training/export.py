"""Writes ``model/`` and ``best/``: what transformers and peft load without this program."""

from __future__ import annotations

import copy
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mftkit.base.atomic_files import new_directory, write_json
from mftkit.models.example_prompt import example_prompt
from mftkit.models.generation_config import fix_generation_config
from mftkit.reporting.outcome import Outcome
from mftkit.runs.checkpoint import CheckpointError
from mftkit.training.read_back import ReadBackError
from mftkit.training.result_writing import result_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedTokenizerBase

    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.result_writing import ResultWriter
    from mftkit.training.run_parts import CheckedRun, Run
    from mftkit.training.validation_history import ValidationHistory


WriteCard: TypeAlias = "Callable[[Path, Path, int, str | None], None]"
"""Writes a model card, given run directory, result, step and an example prompt."""


def write_results(
    run: Run, directory: RunDirectory, outcome: Outcome, reporter: Reporter, write_card: WriteCard
) -> Outcome:
    """Write ``model/`` and, if the run keeps each task's best, ``best/``; read them back; return the run's outcome.

    Nothing is left of results that are not what was trained: the outcome is then a failure. The run's model cannot be
    used afterwards.

    Args:
        run: that has reached its end.
        directory: its directory.
        outcome: of its training.
        reporter: receives messages and progress.
        write_card: writes the model card of each result.
    """
    writer = result_writer(run, directory, outcome.step)
    _prepare_tokenizer_and_generation(writer.run, reporter)
    try:
        with ExitStack() as stack:
            partial = stack.enter_context(new_directory(directory.model))
            if not _export(writer, directory, partial, outcome, reporter):
                outcome = replace(outcome, best_step=None)
            step = outcome.step if outcome.best_step is None else outcome.best_step
            results = [(partial, step)]
            if run.best_per_task:
                partial = stack.enter_context(new_directory(directory.best))
                results += _export_best(writer, directory, partial, outcome.best_step, reporter)
            prompt = example_prompt(run.checked.tokenizer)
            writer.read_back.verify(reporter)
            for place, step in results:
                write_card(directory.path, place, step, prompt)
    except ReadBackError as error:
        return Outcome("failed", outcome.step, outcome.best_step, error=str(error))
    return outcome


def _export(
    writer: ResultWriter, directory: RunDirectory, partial: Path, outcome: Outcome, reporter: Reporter
) -> bool:
    """Write the weights of the best step, or the last ones if there is no validation.

    Returns False if the best weights are lost, so that the last ones were written.
    """
    name = directory.model.name
    if outcome.best_step is None:
        writer.write(None, partial, name)
        return True
    try:
        writer.write(outcome.best_step, partial, name)
    except CheckpointError as error:
        reporter.warn(
            f"{error}: the weights of the best step are lost, so model/ holds those of the last step"
        )
        _clear(partial)
        writer.write(outcome.step, partial, name)
        return False
    return True


def _clear(directory: Path) -> None:
    """Remove what was written before a checkpoint was found to be damaged."""
    shutil.rmtree(directory)
    directory.mkdir()


def _export_best(
    writer: ResultWriter,
    directory: RunDirectory,
    partial: Path,
    step_of_model: int | None,
    reporter: Reporter,
) -> list[tuple[Path, int]]:
    """Write each step that is the best of a task or by mean rank, once, and an index, best.json.

    Returns the directory and the step of each. ``step_of_model`` is the step whose weights ``model/`` holds. A step
    whose checkpoint is lost is reported and left out.
    """
    run, deciding = writer.run, writer.run.deciding
    by_rank = deciding.best_by_rank(directory.checkpoints.steps())
    by_task = {deciding.task_names[index]: step for index, step in deciding.best_steps().items()}
    steps = {*by_task.values(), *([by_rank] if by_rank is not None else [])}
    paths = _write_steps(writer, directory, partial, sorted(steps), step_of_model, reporter)

    def entry(step: int) -> dict[str, object]:
        return {"step": step, "path": paths.get(step), "losses": _losses_at(run.history, run.checked, step)}

    index = {
        "tasks": {name: entry(step) for name, step in by_task.items()},
        "mean": entry(deciding.best_step) if deciding.best_step is not None else None,
        "mean_rank": entry(by_rank) if by_rank is not None else None,
    }
    write_json(partial / "best.json", index)
    return [(partial / Path(path).name, step) for step, path in paths.items() if path != directory.model.name]


def _write_steps(
    writer: ResultWriter,
    directory: RunDirectory,
    place: Path,
    steps: list[int],
    step_of_model: int | None,
    reporter: Reporter,
) -> dict[int, str]:
    """Write the weights of each step; returns their paths within the run directory."""
    paths: dict[int, str] = {}
    for step in steps:
        if step == step_of_model:
            paths[step] = directory.model.name
            continue
        name = directory.checkpoints.path(step).name
        path = f"{directory.best.name}/{name}"
        (place / name).mkdir()
        try:
            writer.write(step, place / name, path)
        except CheckpointError as error:
            reporter.warn(f"{error}: {directory.best} is written without step {step}")
            shutil.rmtree(place / name)
            continue
        paths[step] = path
    return paths


def _losses_at(history: ValidationHistory, checked: CheckedRun, step: int) -> dict[str, float]:
    row = history.losses[history.steps.index(step)]
    return {task.name: row[i] for i, task in enumerate(checked.corpus.tasks) if task.valid_samples}


def trained_tokenizer(checked: CheckedRun) -> PreTrainedTokenizerBase:
    """A copy of the run's tokenizer with the template of training, as results have it."""
    tokenizer = copy.deepcopy(checked.tokenizer)
    if checked.chat is not None:
        tokenizer.chat_template = checked.chat.jinja
    return tokenizer


def _prepare_tokenizer_and_generation(run: Run, reporter: Reporter) -> None:
    """Give tokenizer and model what is saved with any weights: the template of training, and where answers stop."""
    checked = run.checked
    if checked.chat is not None:
        # Whoever prompts the model need not know the format that it was trained with.
        checked.tokenizer.chat_template = checked.chat.jinja
    _set_generation_config(run, reporter)


def _set_generation_config(run: Run, reporter: Reporter) -> None:
    """Make generation stop where trained answers end, with settings that transformers agrees to write."""
    tokenizer = run.checked.tokenizer
    model = run.checked.tuning.base_model(run.model)
    if contradiction := fix_generation_config(model):
        reporter.warn(contradiction)
    settings = model.generation_config
    ends = settings.eos_token_id
    known = ends if isinstance(ends, list) else [ends]
    trained = [*known, tokenizer.eos_token_id, *_answer_ends(run.checked)]
    stops = list(dict.fromkeys(int(token) for token in trained if token is not None))
    settings.eos_token_id = stops[0] if len(stops) == 1 else stops
    settings.pad_token_id = tokenizer.pad_token_id


def _answer_ends(checked: CheckedRun) -> list[int]:
    """The tokens that end answers of the kinds that were trained."""
    ids = [checked.tokenizer.encode(stop, add_special_tokens=False) for stop in checked.corpus.stops]
    return [encoded[0] for encoded in ids if len(encoded) == 1]
