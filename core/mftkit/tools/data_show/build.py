"""Prepares a spec's data as a run does, without any weights, and collects what is shown of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.formatting import place, visible, whole
from mftkit.data.corpus import prepare
from mftkit.data.task_formats import build_task_format, uses_chat
from mftkit.data.task_rows import task_rows, validation_rows
from mftkit.data.tokens.token_cache import TableSource, TokenCache
from mftkit.reporting.reporter import Reporter
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.data_show.choice import chosen_rows, number_of_rows
from mftkit.tools.data_show.packed import packed_row
from mftkit.tools.data_show.samples import SampleViews
from mftkit.tools.data_show.tokens import TokenReader
from mftkit.tools.data_show.view import DataView, TaskView
from mftkit.training.mode_choice import choose_mode
from mftkit.training.model_loading import choose_adapter, load_tokenizer
from mftkit.training.setup import make_sampler
from mftkit.training.start import find_start
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mftkit.data.corpus import Corpus
    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.spec import Spec, TaskSpec
    from mftkit.tools.data_show.choice import ChosenRow, Request
    from mftkit.tools.data_show.collected import CollectedReports
    from mftkit.tools.data_show.view import SampleView


@with_own_plugins
def data_view(spec: Spec, path: Path, request: Request, reports: CollectedReports) -> DataView:
    """Return what the model reads of a spec's data.

    Args:
        spec: the spec.
        path: its file, for the title.
        request: which tasks and rows are shown.
        reports: keeps what the preparation reports.

    Raises:
        MftError: the data cannot be used, with the message of a run; or there is no such task or row.
    """
    names = [task.name for task in spec.tasks]
    if request.task is not None and request.task not in names:
        raise MftError(f"--task {request.task}: the spec has no such task (its tasks: {', '.join(names)})")
    start = find_start(spec, reports)
    with_model = spec if start is None else start.applied_to(spec)
    _name, adapter, config = choose_adapter(with_model, reports)
    tokenizer = load_tokenizer(with_model, adapter, config, reports)
    corpus = prepare(spec, tokenizer, reports)
    choice = choose_mode(with_model, adapter, config, corpus.tasks, fresh=False)
    mode = choice.mode
    chosen = [index for index, name in enumerate(names) if request.task in (None, name)]
    builder = _TaskViews(spec, tokenizer, corpus, reports)
    tasks = tuple(builder.view(index, request) for index in chosen)
    if request.row is not None and not any(task.samples for task in tasks):
        where = f"of task {request.task}" if request.task else "of any task"
        raise MftError(f"--row {request.row}: no data row {where} that became a sample stands there")
    sampler = make_sampler(spec, corpus, mode)
    return DataView(
        name=spec.name,
        spec=str(path),
        tokenizer=_describe_tokenizer(with_model, tokenizer),
        tokenization=spec.tokenization.name,
        max_length=spec.max_length,
        reports=reports.others(names),
        tasks=tasks,
        packed=packed_row(corpus, sampler, mode, chosen, builder.reader, spec.max_length),
    )


class _TaskViews:
    def __init__(
        self, spec: Spec, tokenizer: PreTrainedTokenizerBase, corpus: Corpus, reports: CollectedReports
    ) -> None:
        self.reader = TokenReader(tokenizer)
        self._spec = spec
        self._corpus = corpus
        self._reports = reports
        self._cache = TokenCache(spec, tokenizer, Reporter())

    def view(self, index: int, request: Request) -> TaskView:
        """Return one task's view."""
        task = self._spec.tasks[index]
        train, valid = self._corpus.train.parts[index], self._corpus.valid.parts[index]
        samples = [
            sample
            for row in chosen_rows(request, train, valid, task.name)
            for sample in self._samples(index, task, row)
        ]
        return TaskView(
            name=task.name,
            format=task.format.name,
            chat=_describe_chat(self._cache.chat) if uses_chat(task) else "",
            rows=number_of_rows(train),
            train_samples=len(train.rows),
            valid_samples=len(valid.rows),
            variants=train.table.variants,
            stops=tuple(
                f"{kind}: {visible(stop)} ({whole(answers)})"
                for kind, stop, answers in train.table.facts["stops"].values()
            ),
            reports=self._reports.of_task(task.name),
            samples=tuple(samples),
        )

    def _samples(self, index: int, task: TaskSpec, row: ChosenRow) -> list[SampleView]:
        train = self._corpus.train.parts[index]
        if row.part.table is train.table:
            sources = task_rows(self._spec, index, task, Reporter())
        else:
            sources = validation_rows(self._spec, index, task, Reporter())
        source = TableSource(
            task.name, task.format.name, build_task_format(self._spec, task), sources, groups=False
        )
        views = SampleViews(source, self._cache, self.reader, self._spec.max_length)
        return views.of_row(row, self._use(index, row))

    def _use(self, index: int, row: ChosenRow) -> list[str]:
        """Return what the run does with each sample of a row."""
        table, limit = row.part.table, self._spec.max_length
        parts = {"training": self._corpus.train.parts[index], "validation": self._corpus.valid.parts[index]}
        uses = []
        for sample in row.samples:
            used = [use for use, part in parts.items() if part.table is table and (part.rows == sample).any()]
            dropped = "longer than max_length" if table.lengths[sample] > limit else "no loss tokens"
            uses.append(used[0] if used else f"dropped: {dropped}")
        return uses


def _describe_chat(chat: ChatFormat) -> str:
    described = chat.describe()
    if described["format"] == "template":
        return "chat template of the tokenizer"
    texts = [str(described[key]) for key in ("system", "user", "assistant", "end")]
    return f"markers {' '.join(map(visible, texts))}"


def _describe_tokenizer(spec: Spec, tokenizer: PreTrainedTokenizerBase) -> str:
    source = spec.model.tokenizer or spec.model.path
    of = "trained on the tasks' texts"
    if isinstance(source, str):
        of = place(Path(source)) if Path(source).exists() else source
    return f"{of}, {whole(len(tokenizer))} tokens"
