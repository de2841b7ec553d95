"""Writes ``model/`` and ``best/``: what transformers and peft load without this program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.base.atomic_files import new_directory, write_json
from mftkit.models.generation_config import fix_generation_config
from mftkit.runs.checkpoint import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.setup import Assembly
    from mftkit.training.validation_history import ValidationHistory


def export(assembly: Assembly, directory: RunDirectory, best_step: int | None, reporter: Reporter) -> bool:
    """Write the best weights by mean validation loss, or the last where there is no validation, with the tokenizer.

    Returns False where the best weights are lost, and the last were written.
    """
    whole = True
    if best_step is not None:
        try:
            best = directory.checkpoints.read(best_step)
        except CheckpointError as error:
            reporter.warn(f"{error}: the best step's weights are lost, so model/ holds the last step's")
            whole = False
        else:
            assembly.tuning.load_state_dict(assembly.model, best.model)
    _ready(assembly, reporter)
    with new_directory(directory.model) as partial:
        _write(assembly, directory, partial)
    return whole


def export_best(
    assembly: Assembly,
    directory: RunDirectory,
    standing: ValidationHistory,
    of_model: int | None,
    reporter: Reporter,
) -> None:
    """Write ``best/``: each step that is the best of a task or by mean rank, once, and best.json that tells which.

    ``of_model`` is the step whose weights model/ holds. A step whose checkpoint is lost is told and left out.
    """
    tasks = assembly.corpus.tasks
    by_rank = standing.best_by_rank(directory.checkpoints.steps())
    by_task = {tasks[index].name: step for index, step in standing.best_steps().items()}
    _ready(assembly, reporter)
    with new_directory(directory.best) as partial:
        written: dict[int, str] = {}
        for step in sorted({*by_task.values(), *([by_rank] if by_rank is not None else [])}):
            if step == of_model:
                written[step] = directory.model.name
                continue
            try:
                kept = directory.checkpoints.read(step)
            except CheckpointError as error:
                reporter.warn(f"{error}: {directory.best} goes without step {step}")
                continue
            assembly.tuning.load_state_dict(assembly.model, kept.model)
            name = directory.checkpoints.path(step).name
            (partial / name).mkdir()
            _write(assembly, directory, partial / name)
            written[step] = f"{directory.best.name}/{name}"

        def told(step: int) -> dict[str, object]:
            row = standing.losses[standing.steps.index(step)]
            losses = {task.name: row[i] for i, task in enumerate(tasks) if task.valid_samples}
            return {"step": step, "path": written.get(step), "losses": losses}

        which = {
            "tasks": {name: told(step) for name, step in by_task.items()},
            "mean": told(standing.best_step) if standing.best_step is not None else None,
            "mean_rank": told(by_rank) if by_rank is not None else None,
        }
        write_json(partial / "best.json", which)


def _ready(assembly: Assembly, reporter: Reporter) -> None:
    """What is saved with any weights: the very template of training, and where answers stop."""
    if assembly.chat is not None:
        # Whoever prompts the model need not know it.
        assembly.tokenizer.chat_template = assembly.chat.jinja
    _set_generation(assembly, reporter)


def _write(assembly: Assembly, directory: RunDirectory, place: Path) -> None:
    base = assembly.spec.model.path if assembly.own_base is None else str(directory.base)
    assembly.tuning.export(assembly.model, place, base)
    assembly.tokenizer.save_pretrained(place)


def _set_generation(assembly: Assembly, reporter: Reporter) -> None:
    """Generation settings that stop where trained answers end, and that transformers agrees to write."""
    model = assembly.tuning.base_model(assembly.model)
    if told := fix_generation_config(model):
        reporter.warn(told)
    settings = model.generation_config
    ends = settings.eos_token_id
    known = ends if isinstance(ends, list) else [ends]
    learned = [*known, assembly.tokenizer.eos_token_id, _answer_end(assembly)]
    stops = list(dict.fromkeys(int(token) for token in learned if token is not None))
    settings.eos_token_id = stops[0] if len(stops) == 1 else stops
    settings.pad_token_id = assembly.tokenizer.pad_token_id


def _answer_end(assembly: Assembly) -> int | None:
    """The token that ends an answer, as it was trained: the last that counts of a sample that was not cut."""
    corpus = assembly.corpus
    chat = [i for i, task in enumerate(assembly.spec.tasks) if task.format == "chat"]
    whole = np.isin(corpus.train.task, chat) & (corpus.train.lengths < assembly.spec.max_length)
    if not whole.any():
        return None
    sample = corpus.train[int(np.argmax(whole))]
    return int(sample.tokens[np.flatnonzero(sample.loss_mask)[-1]])
