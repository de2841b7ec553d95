"""Evaluates what a spec names: everything is checked first, then answers are generated, then they are scored."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.evaluation.answer_file import AnswerFile
from mftkit.evaluation.opening import Openings
from mftkit.evaluation.prompts import Prompts
from mftkit.evaluation.questions import check_room, make_questions
from mftkit.evaluation.results import EvaluationResults, write_results, write_rows
from mftkit.evaluation.rows import read_rows
from mftkit.evaluation.scoring import Scored, build_evaluators, described, scored
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.generation.batched import BatchedGenerator, Generated, Prompt
from mftkit.generation.sampling import Sampling
from mftkit.interfaces.evaluator import Answer, Answered
from mftkit.models.context_length import context_length

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.evaluation.intervals import MetricValue
    from mftkit.evaluation.prompts import EncodedPrompt
    from mftkit.evaluation.questions import Questions
    from mftkit.evaluation.row_losses import RowLosses
    from mftkit.evaluation.rows import RowsToEvaluate
    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.interfaces.evaluator import EvaluationContext, EvaluationRow, Evaluator
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
    sharded: bool = False
    """Whether a forward pass needs all processes at once."""


@dataclass(frozen=True)
class _Task:
    """A task that was checked."""

    task: TaskToEvaluate
    rows: RowsToEvaluate
    prompts: Prompts
    evaluators: dict[str, tuple[Evaluator, EvaluationContext]]
    questions: list[Questions]


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
        """Read all rows, build the evaluators, let them check the rows, and make all prompts; nothing is generated yet.

        Args:
            spec: names tasks and evaluators.
            model: the model, whose template and stop tokens make the prompts.
            processes: share the generation.
            reporter: receives progress and notes.
            directory: keeps what evaluators keep, such as the replies of judges.
            tasks: names of the tasks that are evaluated; None: all.

        Raises:
            MftError: data, an evaluator or a row cannot be used, or a prompt leaves no room for an answer.
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
        questions = make_questions(rows.rows, evaluators, prompts)
        self._check_room(task, rows.rows, questions)
        return _Task(task, rows, prompts, evaluators, questions)

    def _check_room(
        self, task: TaskToEvaluate, rows: Sequence[EvaluationRow], questions: Sequence[Questions]
    ) -> None:
        limit, most = context_length(self._model.model), task.evaluate.max_new_tokens
        for each in questions:
            less = check_room(rows, each.prompts, limit, most)
            if less:
                self.note(
                    f"task {task.name}: {less:,} of {len(rows):,} prompts leave less than max_new_tokens ({most:,}) of "
                    f"the {limit:,} tokens that the model reads; their answers end there"
                )

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
            # Losses first: a row without a loss token is refused before anything is generated.
            losses = [self._losses(task) for task in self._tasks]
            for task, measured in zip(self._tasks, losses, strict=True):
                found[task.task.name] = self._evaluated(task, measured, directory)
        results = EvaluationResults(self._processes.from_main(found), tuple(self.notes))
        if self._processes.is_main:
            write_results(directory, results, about)
        return results

    def _evaluated(self, task: _Task, losses: list[Answered], directory: Path) -> dict[str, MetricValue]:
        metrics: dict[str, MetricValue] = {}
        rows: list[JsonObject] = []
        for asked in task.questions:
            answered = losses if asked.reads_losses else self._answered(task, asked.given, directory)
            lines = [
                described(row, prompt, given.answers)
                for row, prompt, given in zip(task.rows.rows, asked.prompts, answered, strict=True)
            ]
            if self._processes.is_main:
                for name in asked.evaluators:
                    done = scored(name, *task.evaluators[name], answered)
                    metrics.update(done.metrics)
                    _add_verdicts(lines, name, done)
            rows += lines
        if self._processes.is_main:
            write_rows(directory, task.task.name, rows)
        return metrics

    def _losses(self, task: _Task) -> list[Answered]:
        """The losses of a task's rows, if an evaluator reads them."""
        if not any(asked.reads_losses for asked in task.questions):
            return []
        found = self._model.losses(task.prompts.source, task.rows, self._spec)
        return [
            Answered(row, (), nll, tokens) for row, (nll, tokens) in zip(task.rows.rows, found, strict=True)
        ]

    def _answered(self, task: _Task, prompts: Sequence[EncodedPrompt], directory: Path) -> list[Answered]:
        answers = self._generated(task, prompts, directory)
        return [Answered(row, each) for row, each in zip(task.rows.rows, answers, strict=True)]

    def _generated(
        self, task: _Task, prompts: Sequence[EncodedPrompt], directory: Path
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
        # Where the model needs all processes for a forward pass, all of them generate the same answers.
        own = left if self._model.sharded else left[self._processes.rank :: self._processes.count]
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
        each = [Answer(answer.text, answer.complete, answer.tokens, answer.reasoning) for answer in answers]
        return [
            tuple(each[first : first + settings.samples]) for first in range(0, len(each), settings.samples)
        ]


def _add_verdicts(lines: list[JsonObject], name: str, done: Scored) -> None:
    for line, verdicts in zip(lines, done.verdicts, strict=True):
        line["verdicts"][name] = [
            {"scores": dict(each.scores), "passed": each.passed, "note": each.note, **each.more}
            for each in verdicts
        ]
