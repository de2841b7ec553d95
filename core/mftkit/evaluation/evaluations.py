"""Evaluates what a spec names: everything is checked first, then answers are generated, then they are scored."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.evaluation.answer_file import AnswerFile
from mftkit.evaluation.opening import Openings
from mftkit.evaluation.prompts import EncodedPrompt, Prompts
from mftkit.evaluation.results import EvaluationResults, write_results, write_rows
from mftkit.evaluation.rows import read_rows
from mftkit.evaluation.scoring import Scored, build_evaluators, described, reads_answers, scored
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.generation.batched import BatchedGenerator, Generated, Prompt
from mftkit.generation.sampling import Sampling
from mftkit.interfaces.evaluator import Answer, Answered

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.evaluation.intervals import MetricValue
    from mftkit.evaluation.row_losses import RowLosses
    from mftkit.evaluation.rows import RowsToEvaluate
    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.interfaces.evaluator import EvaluationContext, Evaluator
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.processes import Processes
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec


@dataclass(frozen=True)
class ModelToEvaluate:
    """A model in memory, and how its losses are measured."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    adapter: ModelAdapter
    losses: RowLosses
    autocast: torch.dtype | None = None
    weights: str | None = None
    """Identifies the weights, so that answers on disk are used again; None: they are never used again."""


@dataclass(frozen=True)
class _Task:
    """A task that was checked."""

    task: TaskToEvaluate
    rows: RowsToEvaluate
    prompts: Prompts
    evaluators: dict[str, tuple[Evaluator, EvaluationContext]]


class Evaluations:
    """What a spec evaluates, checked and ready."""

    def __init__(
        self,
        spec: Spec,
        model: ModelToEvaluate,
        processes: Processes,
        reporter: Reporter,
        directory: Path,
        tasks: Collection[str] | None = None,
    ) -> None:
        """Read all rows, build the evaluators, and let them check the rows; nothing is generated yet.

        Args:
            spec: names tasks and evaluators.
            model: the model, whose template and stop tokens make the prompts.
            processes: share the generation.
            reporter: receives progress and notes.
            directory: keeps what evaluators keep, such as the replies of judges.
            tasks: names of the tasks that are evaluated; None: all.

        Raises:
            MftError: data, an evaluator or a row cannot be used.
        """
        self._spec = spec
        self._model = model
        self._processes = processes
        self._reporter = reporter
        self.notes: list[str] = []
        self._openings = Openings(directory, self.note)
        chosen = [task for task in tasks_to_evaluate(spec) if tasks is None or task.name in tasks]
        self._tasks = [self._checked(task) for task in chosen]

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def note(self, message: str) -> None:
        """Show a remark once, and keep it for the result."""
        if message not in self.notes:
            self.notes.append(message)
            if self._processes.is_main:
                self._reporter.note(message)

    def _checked(self, task: TaskToEvaluate) -> _Task:
        model = self._model
        rows = read_rows(self._spec, task, model.tokenizer, self._reporter)
        prompts = Prompts(
            self._spec, task, rows.sources, model.model, model.tokenizer, model.adapter, self._reporter
        )
        evaluators: dict[str, tuple[Evaluator, EvaluationContext]] = {}
        for name, evaluator in build_evaluators(task).items():
            context = self._openings.context(
                task, name, self._spec.seed, has_chat_template=prompts.has_template
            )
            evaluator.check(rows.rows, context)
            evaluators[name] = (evaluator, context)
        return _Task(task, rows, prompts, evaluators)

    def run(self, directory: Path, about: JsonObject) -> EvaluationResults:
        """Generate, score and write; each process returns the same metrics, the main one writes the files.

        Args:
            directory: receives TASK.jsonl and evaluation.json.
            about: what evaluation.json says about the model, such as its step.
        """
        found: dict[str, dict[str, MetricValue]] = {}
        if self._processes.is_main:
            directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._openings.open_in(stack)
            for task in self._tasks:
                found[task.task.name] = self._evaluated(task, directory)
        results = EvaluationResults(self._processes.from_main(found), tuple(self.notes))
        if self._processes.is_main:
            write_results(directory, results, about)
        return results

    def _evaluated(self, task: _Task, directory: Path) -> dict[str, MetricValue]:
        answered = self._answers(task, directory)
        metrics: dict[str, MetricValue] = {}
        rows: list[JsonObject] = []
        losses: list[Answered] | None = None
        for names, prompts, answers in answered:
            lines = [
                described(row, prompt, given.answers)
                for row, prompt, given in zip(task.rows.rows, prompts, answers, strict=True)
            ]
            for name in names:
                evaluator, context = task.evaluators[name]
                if not reads_answers(evaluator):
                    losses = losses or self._losses(task)
                    answers = losses
                if self._processes.is_main:
                    done = scored(name, evaluator, context, answers)
                    metrics.update(done.metrics)
                    _add_verdicts(lines, name, done)
            rows += lines
        if self._processes.is_main:
            write_rows(directory, task.task.name, rows)
        return metrics

    def _losses(self, task: _Task) -> list[Answered]:
        found = self._model.losses(task.prompts.source, task.rows, self._spec)
        return [
            Answered(row, (), nll, tokens) for row, (nll, tokens) in zip(task.rows.rows, found, strict=True)
        ]

    def _answers(
        self, task: _Task, directory: Path
    ) -> list[tuple[list[str], list[EncodedPrompt | None], list[Answered]]]:
        """Answers by prompts: the evaluators that share them, the prompts, and the rows with their answers."""
        groups: dict[tuple[EncodedPrompt, ...], list[str]] = {}
        found: list[tuple[list[str], list[EncodedPrompt | None], list[Answered]]] = []
        of_losses = [name for name, (each, _c) in task.evaluators.items() if not reads_answers(each)]
        for name, (evaluator, context) in task.evaluators.items():
            if name not in of_losses:
                given = [evaluator.prompt(row, context) for row in task.rows.rows]
                prompts = tuple(
                    task.prompts.own(row) if own is None else task.prompts.of(row, own)
                    for row, own in zip(task.rows.rows, given, strict=True)
                )
                groups.setdefault(prompts, []).append(name)
        for prompts, names in groups.items():
            answers = self._generated(task, list(prompts), directory)
            rows = [Answered(row, each) for row, each in zip(task.rows.rows, answers, strict=True)]
            found.append((names, list(prompts), rows))
        if of_losses:
            rows = [Answered(row) for row in task.rows.rows]
            found.append((of_losses, [None] * len(rows), rows))
        return found

    def _generated(
        self, task: _Task, prompts: list[EncodedPrompt], directory: Path
    ) -> list[tuple[Answer, ...]]:
        settings = task.task.evaluate
        sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.top_p, self._spec.seed)
        file = AnswerFile(directory / "answers" / f"{task.task.name}.jsonl", self._model.weights or "")
        names = [
            (i, f"{row.id} {sample}")
            for i, row in enumerate(task.rows.rows)
            for sample in range(settings.samples)
        ]
        keys = [file.key(prompts[i], name, sampling) for i, name in names]
        known = self._model.weights is not None
        left = [n for n, key in enumerate(keys) if not (known and key in file)]
        left = self._processes.from_main(left)
        own = left[self._processes.rank :: self._processes.count]
        made: dict[int, Generated] = {}
        generator = BatchedGenerator(
            self._model.model, self._model.tokenizer, self._spec.evaluation.batch_size, self._model.autocast
        )
        asked = [Prompt(names[n][1], prompts[names[n][0]].ids, prompts[names[n][0]].stops) for n in own]
        with self._reporter.progress(f"generating answers to {task.task.name}", len(own)) as advance:
            for n, answer in generator.generate(asked, sampling):
                made[own[n]] = answer
                if known and self._processes.is_main:
                    file.add(keys[own[n]], answer)
                advance(1)
        for part in self._processes.gather(made):
            made.update(part)
        answers = [made[n] if n in made else file[key] for n, key in enumerate(keys)]
        each = [Answer(answer.text, answer.complete, answer.tokens) for answer in answers]
        return [
            tuple(each[first : first + settings.samples]) for first in range(0, len(each), settings.samples)
        ]


def _add_verdicts(lines: list[JsonObject], name: str, done: Scored) -> None:
    for line, verdicts in zip(lines, done.verdicts, strict=True):
        line["verdicts"][name] = [
            {"scores": dict(each.scores), "passed": each.passed, "note": each.note, **each.more}
            for each in verdicts
        ]
