"""Encodes samples of text into token ids, in batches, with the fast tokenizer itself."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, NamedTuple

from mftkit.data.text.control_tokens import added_tokens, any_of
from mftkit.interfaces.task_format import Piece, Segment
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.text.control_tokens import ControlTokens
    from mftkit.interfaces.task_format import FormattedSample, InLoss

VERSION = 4
"""Increase it when the same rows give another table (tokens, spans, columns): older cache entries are then rebuilt."""

_ANCHOR = "\n"
_PROBES = ("a", "def f", "[1]")
_HEAD, _TAIL = 32, 512
"""Characters of an answer that may join with the text before it, and of that text."""
_KEPT_JOINS = 4096
"""Pairs of prompt and answer whose tokens are remembered to join or not."""
_CALL = 128
"""Strings per call of the tokenizer, which returns about 100 bytes per token, most of which are no ids."""


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
    """Strings to encode together."""

    def __init__(self, backend: Tokenizer) -> None:
        self.backend = backend
        self.texts: list[str] = []
        self.ids: list[array[int]] = []

    def add(self, text: str) -> int:
        self.texts.append(text)
        return len(self.texts) - 1

    def run(self) -> None:
        for start in range(0, len(self.texts), _CALL):
            texts = self.texts[start : start + _CALL]
            done = self.backend.encode_batch_fast(texts, add_special_tokens=False)
            self.ids += [array("i", each.ids) for each in done]


class Encoder:
    """Encodes samples: a format's control tokens become tokens, their look-alikes in contents stay text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, controls: ControlTokens) -> None:
        """``controls``: the tokens whose text in a content is plain text."""
        self.backend = fast_backend(tokenizer)
        self.name = str(tokenizer.name_or_path or type(tokenizer).__name__)
        self.controls = controls
        self._controls = controls.pattern
        self._control_ids = {self.backend.token_to_id(text) for text in controls.texts}
        added = added_tokens(tokenizer)
        self._added = any_of(added)
        self._anchor_texts = tuple(token.text for token in added)
        self._swallowing = tuple(token.text for token in added if token.rstrip)
        self._plain = _plain_backend(self.backend, controls.texts)
        self._anchored = any(self._after(_ANCHOR, probe) != self._ids(probe) for probe in _PROBES)
        self._anchors: dict[tuple[bool, str], tuple[int, ...]] = {}
        self._start = added_start(self.backend)
        self._eos: str | None = tokenizer.eos_token
        self._eos_id: int | None = tokenizer.eos_token_id
        self._joins: dict[tuple[str, str], bool] = {}

    def encode(self, samples: Sequence[FormattedSample]) -> Encoded:
        """Return the tokens and the spans of loss tokens of a batch of samples."""
        marked, plain = _Jobs(self.backend), _Jobs(self._plain)
        planned = [self._plan(sample, marked, plain) for sample in samples]
        marked.run()
        plain.run()
        result = Encoded(array("i"), array("i"), array("i"), array("i"))
        for sample, parts in zip(samples, planned, strict=True):
            self._assemble(sample, parts, (marked, plain), result)
        return result

    def token_starts(self, text: str) -> list[int]:
        """Return the places, in characters, at which the tokens of a content begin, encoded alone."""
        backend = self._plain if self._controls.search(text) else self.backend
        encoding = backend.encode(text, add_special_tokens=False)
        return [start for start, _end in encoding.offsets]

    def token_of(self, text: str) -> int | None:
        """Return the id of a text that is one token; None if it is several."""
        ids = self._ids(text)
        return ids[0] if len(ids) == 1 else None

    def joins_exactly(self, sample: FormattedSample) -> bool:
        """Return True if all prompts in the sample have the tokens that they get in use (see ``joins``)."""
        answers = [
            place for place, segment in enumerate(sample.segments) if segment.in_loss == "all" and place
        ]
        return all(self.joins(sample.segments[n - 1].text, sample.segments[n].text) for n in answers[:-1])

    def joins(self, prompt: str, answer: str) -> bool:
        """Return True if a prompt and its answer get the same tokens together as one after the other.

        An answer in the history of a later prompt is read together with the text before it. A token may then reach
        from the prompt into the answer, which it cannot when the answer is generated.
        """
        tail, head = self._section(prompt[-_TAIL:]), answer[:_HEAD]
        key = (tail, head)
        if key not in self._joins:
            if len(self._joins) >= _KEPT_JOINS:  # few keys occur often: those are back at once
                self._joins.clear()
            anchor = self._anchor(tail, plain=False) if self._anchored and tail else ""
            alone = self._ids(anchor + head)[len(self._ids(anchor)) :] if anchor else self._ids(head)
            self._joins[key] = self._ids(tail + head) == self._ids(tail) + alone
        return self._joins[key]

    def drops_space(self, prompt: str, answer: str) -> bool:
        """Return True if a token at the end of the prompt swallows the white space with which the answer begins."""
        return bool(self._swallowing) and answer[:1].isspace() and prompt.rstrip().endswith(self._swallowing)

    def _section(self, text: str) -> str:
        """Return the end of a text, from its last added token on: what stands before it does not change its tokens."""
        starts = [found.start() for found in self._added.finditer(text)]
        return text[starts[-1] :] if starts else text

    def _segments(self, sample: FormattedSample) -> list[Segment]:
        """Return the segments, where white space that the end of an answer swallows stands with that end."""
        segments = list(sample.segments)
        for place in range(1, len(segments)):
            before, after = segments[place - 1], segments[place]
            if (
                before.in_loss != "all"
                or after.inside
                or not before.text.endswith(self._swallowing)
                or not self._swallowing
            ):
                continue
            stripped = after.text.lstrip()
            moved = after.text[: len(after.text) - len(stripped)]
            if moved and after.pieces[0].text.startswith(moved):
                first = after.pieces[0]
                rest = (Piece(first.text[len(moved) :], first.content), *after.pieces[1:])
                segments[place - 1] = Segment((*before.pieces, Piece(moved, False)), before.in_loss)
                segments[place] = Segment(tuple(piece for piece in rest if piece.text), after.in_loss)
        return segments

    def _plan(self, sample: FormattedSample, marked: _Jobs, plain: _Jobs) -> list[tuple[list[_Part], InLoss]]:
        planned: list[tuple[list[_Part], InLoss]] = []
        previous = ""
        for segment in self._segments(sample):
            parts: list[_Part] = []
            for piece in self._strings(segment.pieces):
                jobs = plain if piece.content else marked
                anchor = self._anchor(previous, piece.content) if self._anchored and previous else ""
                if segment.inside and self._anchored:
                    anchor = _ANCHOR
                skip = self._anchor_ids(piece.content, anchor)
                parts.append(_Part(piece.content, jobs.add(anchor + piece.text), skip, piece.text))
                previous = piece.text
            planned.append((parts, segment.in_loss))
        return planned

    def _strings(self, pieces: tuple[Piece, ...]) -> list[Piece]:
        """Join all pieces into one string; if a content contains a control token's text, keep them apart."""
        if any(piece.content and self._controls.search(piece.text) for piece in pieces):
            return [piece for piece in pieces if piece.text]
        joined = "".join([piece.text for piece in pieces])
        return [Piece(joined, False)] if joined else []

    def _assemble(
        self,
        sample: FormattedSample,
        planned: list[tuple[list[_Part], InLoss]],
        jobs: tuple[_Jobs, _Jobs],
        result: Encoded,
    ) -> None:
        encoded: list[tuple[Sequence[int], InLoss]] = [(self._start, "none")] if sample.adds_start else []
        for parts, in_loss in planned:
            ids = array("i")
            for part in parts:
                if part.alone == self._eos and not part.plain and self._eos_id is not None:
                    ids.append(self._eos_id)
                else:
                    ids.extend(self._without_anchor(jobs[part.plain].ids[part.job], part))
            encoded.append((ids, in_loss))
        _append(result, encoded)

    def _without_anchor(self, found: array[int], part: _Part) -> Sequence[int]:
        ids: Sequence[int] = found
        if tuple(found[: len(part.skip)]) != part.skip:
            # The anchor merged with the text, so encode without it.
            ids = self._ids(part.alone, plain=part.plain)
        elif part.skip:
            ids = found[len(part.skip) :]
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
        bare = previous.rstrip()
        if self._swallowing and bare.endswith(self._swallowing):
            previous = bare
        if not plain and previous.endswith(self._anchor_texts):
            return max((text for text in self._anchor_texts if previous.endswith(text)), key=len)
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


def _append(result: Encoded, segments: list[tuple[Sequence[int], InLoss]]) -> None:
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
        result.tokens.extend(ids)
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


def _plain_backend(backend: Tokenizer, controls: Collection[str]) -> Tokenizer:
    """Return the tokenizer for contents, in which look-alikes of control tokens are text."""
    from tokenizers import Tokenizer

    state: JsonObject = json.loads(backend.to_str())
    for token in state["added_tokens"]:
        token["special"] = token["content"] in controls
    plain: Tokenizer = Tokenizer.from_str(json.dumps(state))
    plain.encode_special_tokens = True
    return plain
