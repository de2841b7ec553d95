"""Encodes segments of text into token ids, in batches, with the fast tokenizer itself."""

from __future__ import annotations

import json
import re
from array import array
from typing import TYPE_CHECKING, NamedTuple

from mftkit.data.text.segments import Piece
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.text.segments import InLoss, Segment

VERSION = 3
"""Increase it when the same rows give another table (tokens, spans, columns): older cache entries are then rebuilt."""

_ANCHOR = "\n"
_PROBES = ("a", "def f", "[1]")


class Encoded(NamedTuple):
    """Samples one after the other."""

    tokens: array[int]
    lengths: array[int]
    """Tokens of each sample."""
    spans: array[int]
    """[start, end) of loss tokens: two numbers per span, counted from the sample's start; never 0."""
    span_counts: array[int]
    """Spans of each sample."""


class _Part(NamedTuple):
    """One string of a segment, and the job that encodes it."""

    plain: bool
    job: int
    skip: tuple[int, ...]
    """Tokens of the anchor before the string."""
    alone: str
    """The string without its anchor."""


class _Jobs:
    """Strings to encode in one call."""

    def __init__(self, backend: Tokenizer) -> None:
        self.backend = backend
        self.texts: list[str] = []
        self.ids: list[list[int]] = []

    def add(self, text: str) -> int:
        self.texts.append(text)
        return len(self.texts) - 1

    def run(self) -> None:
        self.ids = [done.ids for done in self.backend.encode_batch_fast(self.texts, add_special_tokens=False)]


class Encoder:
    """Encodes segments: a format's control tokens become tokens, their look-alikes in contents stay text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control_texts: Iterable[str] = ()) -> None:
        self.backend = fast_backend(tokenizer)
        controls = _control_tokens(self.backend, list(control_texts))
        longest_first = sorted(controls, key=len, reverse=True)
        self._controls = re.compile("|".join(controls[text] for text in longest_first) or r"(?!)")
        self._endings = tuple(sorted(controls))
        self._control_ids = {self.backend.token_to_id(text) for text in controls}
        self._plain = _plain_backend(self.backend, controls)
        self._anchored = any(self._after(_ANCHOR, probe) != self._ids(probe) for probe in _PROBES)
        self._anchors: dict[tuple[bool, str], tuple[int, ...]] = {}
        self._start = added_start(self.backend)
        self._eos: int | None = tokenizer.eos_token_id

    def encode(self, samples: Sequence[Sequence[Segment]]) -> Encoded:
        """Return the tokens and the spans of loss tokens of a batch of samples."""
        marked, plain = _Jobs(self.backend), _Jobs(self._plain)
        planned = [self._plan(sample, marked, plain) for sample in samples]
        marked.run()
        plain.run()
        result = Encoded(array("i"), array("i"), array("i"), array("i"))
        for sample, parts in zip(samples, planned, strict=True):
            self._assemble(sample, parts, (marked, plain), result)
        return result

    def encode_texts(self, texts: Sequence[str]) -> Encoded:
        """Encode raw texts: the tokenizer's own beginning, the text, the end; all but the beginning is in the loss."""
        if self._eos is None:
            raise MftError('the tokenizer has no end-of-text token, which tasks with format "text" require')
        jobs = _Jobs(self._plain)
        jobs.texts = list(texts)
        jobs.run()
        result = Encoded(array("i"), array("i"), array("i"), array("i"))
        for ids in jobs.ids:
            _append(result, [(self._start, "none"), ([*ids, self._eos], "all")])
        return result

    def _plan(self, sample: Sequence[Segment], marked: _Jobs, plain: _Jobs) -> list[list[_Part]]:
        planned: list[list[_Part]] = []
        previous = ""
        for segment in sample:
            parts: list[_Part] = []
            for piece in self._strings(segment.pieces):
                jobs = plain if piece.content else marked
                anchor = self._anchor(previous, piece.content) if self._anchored and previous else ""
                skip = self._anchor_ids(piece.content, anchor)
                parts.append(_Part(piece.content, jobs.add(anchor + piece.text), skip, piece.text))
                previous = piece.text
            planned.append(parts)
        return planned

    def _strings(self, pieces: tuple[Piece, ...]) -> list[Piece]:
        """Join all pieces into one string; if a content contains a control token's text, keep them apart."""
        if any(piece.content and self._controls.search(piece.text) for piece in pieces):
            return [piece for piece in pieces if piece.text]
        joined = "".join([piece.text for piece in pieces])
        return [Piece(joined, False)] if joined else []

    def _assemble(
        self,
        sample: Sequence[Segment],
        planned: list[list[_Part]],
        jobs: tuple[_Jobs, _Jobs],
        result: Encoded,
    ) -> None:
        encoded: list[tuple[list[int], InLoss]] = []
        for segment, parts in zip(sample, planned, strict=True):
            ids: list[int] = []
            for part in parts:
                ids += self._without_anchor(jobs[part.plain].ids[part.job], part)
            encoded.append((ids, segment.in_loss))
        _append(result, encoded)

    def _without_anchor(self, ids: list[int], part: _Part) -> list[int]:
        if tuple(ids[: len(part.skip)]) == part.skip:
            ids = ids[len(part.skip) :]
        else:  # the anchor merged with the text, so encode without it
            ids = self._ids(part.alone, plain=part.plain)
        if part.plain and not self._control_ids.isdisjoint(
            ids
        ):  # this vocabulary also has control tokens as words
            pieces = self._controls.sub(lambda found: found[0][0] + "\0" + found[0][1:], part.alone).split(
                "\0"
            )
            ids = [token for piece in pieces for token in self._ids(piece, plain=True)]
        return ids

    def _anchor(self, previous: str, plain: bool) -> str:
        """Return text to encode before a string, so that the tokenizer does not treat it as the start of a text.

        It is the control token just before the string, otherwise a line break.
        """
        if not plain and previous.endswith(self._endings):
            return max((text for text in self._endings if previous.endswith(text)), key=len)
        return _ANCHOR

    def _anchor_ids(self, plain: bool, anchor: str) -> tuple[int, ...]:
        if not anchor:
            return ()
        key = (plain, anchor)
        if key not in self._anchors:
            self._anchors[key] = tuple(self._ids(anchor, plain=plain))
        return self._anchors[key]

    def _ids(self, text: str, *, plain: bool = False) -> list[int]:
        backend = self._plain if plain else self.backend
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        return ids

    def _after(self, anchor: str, text: str) -> list[int]:
        return self._ids(anchor + text)[len(self._ids(anchor)) :]


def _append(result: Encoded, segments: list[tuple[list[int], InLoss]]) -> None:
    """Add one sample of (ids, in_loss); adjacent spans are joined, and the first token is never in the loss."""
    length = 0
    spans: list[int] = []
    for ids, in_loss in segments:
        start, end = max(length, 1), length + (min(1, len(ids)) if in_loss == "first" else len(ids))
        if in_loss != "none" and start < end:
            if spans and spans[-1] == start:
                spans[-1] = end
            else:
                spans += (start, end)
        result.tokens.fromlist(ids)
        length += len(ids)
    result.lengths.append(length)
    result.spans.fromlist(spans)
    result.span_counts.append(len(spans) // 2)


def fast_backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """Return a copy of the underlying Rust tokenizer without truncation and padding. Raises MftError without one."""
    from tokenizers import Tokenizer

    inner = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(inner, Tokenizer):
        raise MftError(
            f"{type(tokenizer).__name__} is not a fast tokenizer; the model needs a tokenizer.json"
        )
    copy: Tokenizer = Tokenizer.from_str(inner.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = False
    return copy


def added_start(backend: Tokenizer) -> list[int]:
    """Return the tokens that the tokenizer adds before a text by itself: usually one or none."""
    ids: list[int] = backend.encode("a", add_special_tokens=True).ids
    bare: list[int] = backend.encode("a", add_special_tokens=False).ids
    places = range(len(ids) - len(bare) + 1)
    return ids[: next((n for n in places if ids[n : n + len(bare)] == bare), 0)]


def _control_tokens(backend: Tokenizer, texts: list[str]) -> dict[str, str]:
    """Return the special tokens, and other added tokens that the chat format uses: text and pattern."""
    controls = {}
    for token in backend.get_added_tokens_decoder().values():
        shown = token.content.strip() and any(token.content in text for text in texts)
        if token.content and (token.special or shown):
            pattern = re.escape(token.content)
            controls[token.content] = rf"(?<!\w){pattern}(?!\w)" if token.single_word else pattern
    return controls


def _plain_backend(backend: Tokenizer, controls: Collection[str]) -> Tokenizer:
    """Return the tokenizer for contents, in which look-alikes of control tokens are text."""
    from tokenizers import Tokenizer

    state: JsonObject = json.loads(backend.to_str())
    for token in state["added_tokens"]:
        token["special"] = token["special"] or token["content"] in controls
    plain: Tokenizer = Tokenizer.from_str(json.dumps(state))
    plain.encode_special_tokens = True
    return plain
