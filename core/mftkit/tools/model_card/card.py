"""Makes the model card of a result from the files of its run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mftkit.base.atomic_files import write_text
from mftkit.base.formatting import nats, perplexity, whole
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.reporting.metric_text import METRIC_HEADINGS, metric_rows
from mftkit.runs.record import read_run
from mftkit.tools.model_card.base import UNKNOWN, Base, describe_base
from mftkit.tools.model_card.metrics import metric_results
from mftkit.tools.model_card.private import public_spec, public_text
from mftkit.tools.model_card.sections import hub_datasets, markdown_table, task_rows, training_facts
from mftkit.tools.model_card.snippets import loading_code

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mftkit.reporting.lines import EvaluationLine, ValidLine
    from mftkit.runs.record import RunRecord

FILE = "README.md"
LICENSE_HINT = (
    "Not known. Fill in `license` in the metadata at the top of this file, or pass `--license` to `mft push`."
)


@dataclass(frozen=True)
class CardSource:
    """What a card is made from."""

    run: RunRecord
    place: Path
    """The directory of the result."""
    step: int
    """The step whose weights it holds."""
    prompt: str | None
    """A rendered conversation up to the model's answer; None without a chat template."""
    is_merged: bool = False
    """Whether it is an adapter of the run, merged into its base."""

    @property
    def is_adapter(self) -> bool:
        """Whether the result is an adapter."""
        return (self.place / ADAPTER_CONFIG).is_file()

    @property
    def validation(self) -> ValidLine | None:
        """The validation of the result's step."""
        return next((line for line in self.run.valid if line.step == self.step), None)

    @property
    def evaluation(self) -> EvaluationLine | None:
        """The evaluation of the result's step."""
        return next((line for line in self.run.evaluations if line.step == self.step), None)


def write_card(run: Path, place: Path, step: int, prompt: str | None, *, is_merged: bool = False) -> None:
    """Write the card of the result in ``place``, over any that a library has written there.

    Args:
        run: the run directory.
        place: the directory of the result.
        step: whose weights it holds.
        prompt: a rendered conversation up to the model's answer; None without a chat template.
        is_merged: it is an adapter of the run, merged into its base.
    """
    write_text(place / FILE, str(model_card(CardSource(read_run(run), place, step, prompt, is_merged))))


def step_of(result: Path, run: RunRecord) -> int:
    """The step whose weights a directory of results of a run holds, by its name and by the run's end."""
    _, _, number = result.name.partition("step-")
    if number.isdigit():
        return int(number)
    return run.last_step if run.end is None or run.end.best_step is None else run.end.best_step


def model_card(source: CardSource) -> ModelCard:
    """The card; the same files give the same card."""
    base = describe_base(source.run.spec, source.run.environment, source.place)
    metadata = _metadata(source, base)
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{_body(source, base)}")


def _metadata(source: CardSource, base: Base) -> ModelCardData:
    run = source.run
    datasets = hub_datasets(run.spec)
    evaluated = _eval_results(source)
    return ModelCardData(
        base_model=base.hub_id,
        license=base.license,
        library_name="peft" if source.is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["mftkit", "code", "multi-task", *(["adapter"] if source.is_adapter else [])],
        datasets=datasets or None,
        model_name=run.name if evaluated else None,
        eval_results=evaluated or None,
    )


def _eval_results(source: CardSource) -> list[EvalResult]:
    line = source.validation
    losses = [] if line is None else _loss_results(line)
    return losses if source.evaluation is None else [*losses, *metric_results(source.evaluation)]


def _loss_results(line: ValidLine) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=task,
            dataset_name=f"validation set of {task}",
            metric_type="loss",
            metric_name="validation loss, nats per token",
            metric_value=round(validated.loss, 6),
        )
        for task, validated in line.tasks.items()
        if validated.loss is not None
    ]


def _body(source: CardSource, base: Base) -> str:
    return "\n".join(
        [*_introduction(source, base), *_use(source), *_results(source), *_training(source, base)]
    )


def _introduction(source: CardSource, base: Base) -> Iterable[str]:
    run = source.run
    what = "A PEFT adapter" if source.is_adapter else "A model"
    merged = " (as an adapter, which was then merged into it)" if source.is_merged else ""
    tasks = "one task" if len(run.tasks) == 1 else f"{len(run.tasks)} tasks at once"
    origin = f"`{base.hub_id}`" if base.hub_id else base.description
    yield f"# {markdown_text(run.name)}\n"
    yield (
        f"{what} trained from {origin}{merged} on {tasks} with mftkit {run_version(run)}; the weights are those of "
        f"step {whole(source.step)}.\n"
    )
    yield "## Tasks\n"
    headings = ["task", "training samples", "loss tokens per epoch", "validation samples", "data"]
    yield markdown_table(headings, task_rows(run))


def _use(source: CardSource) -> Iterable[str]:
    model = source.run.spec.get("model")
    trust = isinstance(model, dict) and bool(model.get("trust_remote_code"))
    code = loading_code(
        is_adapter=source.is_adapter, chats=source.prompt is not None, trust_remote_code=trust
    )
    yield f"## Use\n\n{fenced(code, 'python')}"
    if source.prompt is not None:
        yield "## Prompt format\n"
        yield "The tokenizer's chat template writes conversations as they were written in training:\n"
        yield fenced(source.prompt)


def _results(source: CardSource) -> Iterable[str]:
    line = source.validation
    if line is not None or source.evaluation is not None:
        yield "## Results\n"
    if line is not None:
        yield from _losses(source, line)
    if source.evaluation is not None:
        yield "What the evaluators measured, with confidence intervals over rows:\n"
        yield markdown_table(METRIC_HEADINGS, metric_rows(source.evaluation.tasks))


def _losses(source: CardSource, line: ValidLine) -> Iterable[str]:
    rows = [
        [task, nats(each.loss), perplexity(each.loss), whole(each.tokens)]
        for task, each in line.tasks.items()
    ]
    mean = ["mean over tasks", nats(line.loss), "", ""]
    yield f"On each task's validation set, after step {whole(source.step)}:\n"
    yield markdown_table(
        ["task", "loss, nats per token", "perplexity", "loss tokens"],
        [*rows, *([mean] if len(rows) > 1 else [])],
    )


def _training(source: CardSource, base: Base) -> Iterable[str]:
    run = source.run
    yield "## Training\n"
    yield markdown_table(["", ""], [[key, public_text(text)] for key, text in training_facts(run)])
    spec = json.dumps(public_spec(run.spec), indent=2, ensure_ascii=False)
    yield f"<details><summary>Spec</summary>\n\n{fenced(spec, 'json')}\n</details>\n"
    yield "## License\n"
    yield (LICENSE_HINT if base.license == UNKNOWN else f"{base.license}, as the base model.") + "\n"


def run_version(run: RunRecord) -> str:
    """The version of mftkit that trained the run."""
    packages = run.environment.get("packages")
    found = packages.get("mftkit") if isinstance(packages, dict) else None
    return str(found or version("mftkit"))


def markdown_text(text: str) -> str:
    """A name as text, without effect as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def fenced(text: str, language: str = "") -> str:
    """A block of code, in a fence that is longer than any in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}\n"
