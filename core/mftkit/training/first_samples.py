"""The first training sample of each task in brief, for the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.data.text.token_texts import TokenTexts
from mftkit.reporting.plan import FirstSample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from mftkit.data.corpus import Corpus

_TOKENS = 40
"""Tokens that are decoded of what stands before the answer, and of the answer."""
_CHARACTERS = 80
"""Characters that are kept of each."""


def first_samples(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> tuple[FirstSample, ...]:
    """The first training sample of each task."""
    texts = TokenTexts(tokenizer)
    return tuple(
        _brief(corpus, int(np.argmax(corpus.train.task == index)), texts)
        for index in range(len(corpus.tasks))
    )


def _brief(corpus: Corpus, index: int, texts: TokenTexts) -> FirstSample:
    sample = corpus.train[index]
    start, end = _first_stretch(sample.loss_mask)
    before = _text(texts, sample.tokens[max(0, start - _TOKENS) : start])
    answer = _text(texts, sample.tokens[start : min(end - 1, start + _TOKENS)])
    if start > _TOKENS or len(before) > _CHARACTERS:
        before = f"…{before[-_CHARACTERS:]}"
    if end - 1 > start + _TOKENS or len(answer) > _CHARACTERS:
        answer = f"{answer[:_CHARACTERS]}…"
    return FirstSample(
        task=corpus.tasks[sample.task].name,
        place=corpus.train.origin(index),
        tokens=len(sample.tokens),
        loss_tokens=int(sample.loss_mask.sum()),
        before=before,
        answer=answer,
        stop=_text(texts, sample.tokens[end - 1 : end]),
    )


def _first_stretch(loss_mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The first stretch [start, end) of tokens in the loss; every training sample has one."""
    start = int(np.argmax(loss_mask))
    after = np.flatnonzero(~loss_mask[start:])
    return start, start + int(after[0]) if len(after) else len(loss_mask)


def _text(texts: TokenTexts, tokens: NDArray[np.int32]) -> str:
    return "".join(token.text for token in texts.split(tokens.tolist()))
