"""Rows that are longer than the model has positions: refused if it cannot read them, reported if it can."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from mftkit.interfaces.tokenization import MicroBatch
from mftkit.models.position_table import SHORTEST, may_exceed, table_size
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mftkit.interfaces.model import LoadRequest
    from mftkit.training.run_parts import CheckedRun


@dataclass(frozen=True)
class LongestRow:
    """The highest position that a run uses, plus one."""

    positions: int
    text: str
    """What has so many tokens, for messages."""


def longest_row(checked: CheckedRun) -> LongestRow:
    """Return the longest row of a run: a sample, a row of samples that see each other, or padding."""
    corpus, most = checked.corpus, checked.spec.max_length
    splits = [split for split in (corpus.train, corpus.valid) if len(split)]
    longest = max(int(split.lengths.max()) for split in splits)
    found = LongestRow(longest, f"a sample has {longest} tokens")
    if checked.spec.data.streaming is not None:  # later samples may have any length
        return LongestRow(most, f"a sample or a packed row may have {most} tokens")
    sample = corpus.train[int(corpus.train.lengths.argmax())]
    batch = checked.mode.collate(MicroBatch(((sample,),), most, pad_id=0))
    if batch.position_ids is None and batch.input_ids.shape[1] > longest:
        found = LongestRow(batch.input_ids.shape[1], f"rows are padded to {batch.input_ids.shape[1]} tokens")
    layout = checked.sampler.layout(0)
    row = int(np.diff(layout.offsets).argmax())
    members = layout.samples[layout.offsets[row] : layout.offsets[row + 1]]
    if len(members) > 1:
        together = tuple(corpus.train[int(i)] for i in members)
        if checked.mode.collate(MicroBatch((together,), most, pad_id=0)).position_ids is None:
            tokens = min(most, int(corpus.train.lengths.sum()))  # of any row, in any epoch
            found = max(found, LongestRow(tokens, f"a packed row has up to {tokens} tokens"), key=_positions)
    return found


def check_positions(checked: CheckedRun, request: LoadRequest, row: LongestRow) -> None:
    """Raise MftError if the model has fewer learned positions than a row needs.

    Found on an outline of the model, which has no values, so that a dry run finds it, too.
    """
    if row.positions < SHORTEST or not may_exceed(_positions_config(checked), row.positions):
        return
    try:
        # The random state is kept, because a row that the embedding may get is drawn later.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            outline, _ = checked.adapter.load(replace(request, init="random", load_options={}))
    except Exception:  # an adapter that cannot make a random model: nothing can be tried before the first row
        return
    most = table_size(outline, row.positions)
    if most is not None:
        raise MftError(
            f"max_length: {row.text}, but this model has {most} learned positions; set max_length to at most {most}"
        )


def describe_long_samples(checked: CheckedRun, model: PreTrainedModel, row: LongestRow) -> str:
    """Return a sentence about samples that are longer than the positions that a model was made for; "" for none."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(limit, int) or row.positions <= limit or not _is_rotary(model):
        return ""
    corpus = checked.corpus
    splits = [split for split in (corpus.train, corpus.valid) if len(split)]
    count = sum(int((split.lengths > limit).sum()) for split in splits)
    hint = f"set max_length to at most {limit}, or ignore this if the model was made to read longer texts"
    if not count:
        return f"{row.text}, more than the {limit} positions that the model was made for ({_KEY}); {hint}"
    split = next(split for split in splits if (split.lengths > limit).any())
    first = int((split.lengths > limit).argmax())
    samples = "1 sample is" if count == 1 else f"{count:,} samples are"
    return (
        f"{samples} longer than the {limit} positions that the model was made for ({_KEY}), for example "
        f"{split.origin(first)} with {int(split.lengths[first])} tokens; {hint}"
    )


_KEY = "max_position_embeddings in its config"


def _positions_config(checked: CheckedRun) -> dict[str, object]:
    """Return the checkpoint's config, with that of its text part, if it has one, on the same level."""
    config = checked.model_config
    inner = config.get("text_config")
    return {**config, **(inner if isinstance(inner, dict) else {})}


def _is_rotary(model: PreTrainedModel) -> bool:
    return any(
        hasattr(module, "inv_freq") or "rotary" in type(module).__name__.lower() for module in model.modules()
    )


def _positions(row: LongestRow) -> int:
    return row.positions
