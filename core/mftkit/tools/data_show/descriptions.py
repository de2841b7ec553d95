"""Sentences about samples, which the terminal and the page share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.formatting import row_place, share, visible, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.tools.data_show.view import (
        Answer,
        DataView,
        PackedRow,
        PackedSample,
        SampleView,
        TaskView,
        Turn,
    )


def describe_variants(task: TaskView) -> list[tuple[str, str]]:
    """Return a fact about the versions of the task's samples; none if each has one."""
    if task.variants == 1:
        return []
    return [
        (
            "versions",
            f"{task.variants} of each sample, one for each epoch in turn; the first epoch's are shown",
        )
    ]


def describe_title(sample: SampleView) -> str:
    """Return where a sample comes from, and what the run does with it."""
    several = f", sample {sample.number} of {sample.of}" if sample.of > 1 else ""
    return f"{row_place(sample.place)}{several}  ({sample.use})"


def describe_size(sample: SampleView) -> str:
    """Return a sample's counts."""
    parts = [f"{whole(sample.length)} tokens", f"{whole(sample.loss_tokens)} in the loss"]
    if sample.weight != 1:
        ignored = ", which validation ignores" if sample.use == "validation" else ""
        parts.append(f"weight {sample.weight:g}{ignored}")
    if sample.cut:
        parts.append(f"{whole(sample.cut)} more are cut off")
    return ", ".join(parts)


def describe_turns(sample: SampleView) -> str:
    """Return the roles of a conversation's turns, and which are context only."""
    return ", ".join(map(_turn, sample.turns))


def _turn(turn: Turn) -> str:
    if turn.weight is None:
        return f"{turn.number} {turn.role}"
    if turn.weight == 0:
        return f"{turn.number} {turn.role} (weight 0: context only)"
    weight = "" if turn.weight == 1 else f"weight {turn.weight:g}, "
    return f"{turn.number} {turn.role} ({weight}{'in the loss' if turn.in_loss else 'not in the loss here'})"


def describe_answers(sample: SampleView) -> Iterator[str]:
    """Yield a sentence about each stretch of tokens in the loss."""
    for answer in sample.answers:
        yield _answer(answer)


def _answer(answer: Answer) -> str:
    parts = [f"turn {answer.turn}"] if answer.turn else []
    parts += [answer.kind] if answer.kind else []
    parts.append(f"{whole(answer.tokens)} token{'' if answer.tokens == 1 else 's'}")
    end = visible(answer.ends_with)
    if not answer.stop_is_cut:
        parts.append(f"ends with {end}")
    elif answer.tokens:
        parts.append(f"cut off before its end {end}, so the model does not learn to stop here")
    else:
        parts.append("cut off completely")
    return ", ".join(parts)


def describe_packed(row: PackedRow, view: DataView) -> str:
    """Return what a packed row is."""
    seen = (
        "no sample sees another, and positions restart at each"
        if row.restarts
        else "a sample sees the earlier ones, and positions continue"
    )
    return (
        f"packed row {whole(row.number)} of {whole(row.rows)} (tokenization {view.tokenization}, first epoch): "
        f"{len(row.samples)} samples, {whole(row.length)} of {whole(view.max_length)} tokens "
        f"({share(row.length / view.max_length)}); {seen}"
    )


def describe_positions(sample: PackedSample, row: PackedRow) -> str:
    """Return where a sample stands in its row."""
    place = f"{whole(sample.start)} to {whole(sample.end)}"
    if not row.restarts:
        return f"positions {place}"
    return f"places {place} of the row, positions 0 to {whole(sample.length - 1)}"
