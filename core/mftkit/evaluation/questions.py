"""What a model is asked about the rows of a task: evaluators that ask the same share the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.evaluation.scoring import reads_answers
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mftkit.evaluation.prompts import EncodedPrompt, Prompts
    from mftkit.interfaces.evaluator import EvaluationContext, EvaluationRow, Evaluator


@dataclass(frozen=True)
class Questions:
    """One prompt for each row, or none for evaluators that read losses."""

    evaluators: list[str]
    """The evaluators that score the answers."""
    prompts: list[EncodedPrompt | None]
    """In the order of the rows; all of them are None, or none is."""

    @property
    def reads_losses(self) -> bool:
        """Whether losses are measured, and nothing is generated."""
        return any(prompt is None for prompt in self.prompts)

    @property
    def given(self) -> list[EncodedPrompt]:
        """The prompts, where answers are generated."""
        return [prompt for prompt in self.prompts if prompt is not None]


def make_questions(
    rows: Sequence[EvaluationRow],
    evaluators: Mapping[str, tuple[Evaluator, EvaluationContext]],
    prompts: Prompts,
) -> list[Questions]:
    """Make the prompts of all evaluators of a task. Raises MftError for a row that cannot be asked."""
    groups: dict[tuple[EncodedPrompt, ...], list[str]] = {}
    of_losses = []
    for name, (evaluator, context) in evaluators.items():
        if not reads_answers(evaluator):
            of_losses.append(name)
            continue
        given = [evaluator.prompt(row, context) for row in rows]
        made = tuple(
            prompts.own(row) if own is None else prompts.of(row, own)
            for row, own in zip(rows, given, strict=True)
        )
        groups.setdefault(made, []).append(name)
    found = [Questions(names, list(made)) for made, names in groups.items()]
    if of_losses:
        found.append(Questions(of_losses, [None] * len(rows)))
    return found


def check_room(
    rows: Sequence[EvaluationRow], prompts: Sequence[EncodedPrompt | None], limit: int | None, most: int
) -> int:
    """Return the number of prompts that leave room for fewer tokens than the spec asks for.

    Args:
        rows: for messages.
        prompts: of the rows.
        limit: tokens that the model reads; None: any number.
        most: ``max_new_tokens``.

    Raises:
        MftError: a prompt is empty, or leaves no room at all.
    """
    less = 0
    for row, prompt in zip(rows, prompts, strict=True):
        if prompt is None:
            continue
        length = len(prompt.ids)
        if not length:
            raise MftError(
                f"{row.source}: the prompt is empty, and this tokenizer has no token that begins a text"
            )
        if limit is not None and length >= limit:
            raise MftError(
                f"{row.source}: the prompt has {length:,} tokens, and the model reads {limit:,} at most, with the "
                "answer; shorten the row, or leave it out"
            )
        less += limit is not None and length + most > limit
    return less
