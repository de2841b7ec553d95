"""The task format "fim"."""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import TYPE_CHECKING, Literal

from pydantic import Field

import mftkit
from mftkit_plugins.task_formats.fim.rendering import Parts, prompt, render
from mftkit_plugins.task_formats.fim.sentinels import Sentinels, check_sentinels, find_sentinels
from mftkit_plugins.task_formats.fim.splits import choose_middle, choose_window, fit
from mftkit_plugins.task_formats.fim.syntax import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

_OVERHEAD = 8
"""Tokens kept free for the tokens before and after the parts: four sentinels, and what begins a text."""


class SentinelNames(mftkit.Options):
    """Texts of added tokens of the tokenizer."""

    prefix: str = Field(min_length=1)
    """Token before the prefix."""
    suffix: str = Field(min_length=1)
    """Token before the suffix."""
    middle: str = Field(min_length=1)
    """Token before the middle."""
    end: str | None = Field(default=None, min_length=1)
    """Token after the middle; null: the token that ends a text."""


class FillInTheMiddle(mftkit.TaskFormat["FillInTheMiddle.Options"]):
    """Moves a middle of each text to its end, so that a model learns to fill it in (arXiv 2207.14255)."""

    class Options(mftkit.Options):
        """The options of "fim"."""

        rate: float = Field(default=0.9, ge=0, le=1)
        """Share of the samples that are split; the others are plain texts, as in the format "text". The paper finds
        0.5 to 0.9 best, and the upper end for fine-tuning."""
        spm: float = Field(default=0.5, ge=0, le=1)
        """Share of SPM (suffix, prefix, middle) among the split samples; the others are PSM (prefix, suffix,
        middle). No effect for families with one order."""
        spans: Literal["characters", "lines", "syntax"] = "characters"
        """What a middle is: any characters, whole lines, or a node of Python's syntax (a statement, a body, an
        expression, a list of arguments), chosen at random; a text without such spans is split at characters."""
        loss: Literal["all", "middle"] = "all"
        """Which tokens of a split sample are in the loss: all, as in pretraining, or only the middle and its end."""
        context: int | None = Field(default=None, ge=16)
        """Most tokens of a text that a sample is made of: a stretch of a longer one is chosen at random and then
        split; null: as many as fit into max_length."""
        splits: int = Field(default=1, ge=1, le=100)
        """Different splits of each text: epoch e trains split e modulo this number."""
        tokens: SentinelNames | None = None
        """The tokens that mark prefix, suffix and middle; null: those of the family whose tokens the tokenizer has."""

    uses_seed = True
    uses_length = True

    @property
    def variants(self) -> int:
        """See ``TaskFormat``."""
        return self.options.splits

    def read(self, row: mftkit.JsonObject, context: mftkit.FormatContext) -> mftkit.RowContent:  # noqa: ARG002
        """See ``TaskFormat``."""
        if isinstance(row, dict) and row.get("text") is None:
            raise mftkit.BadRow(
                "'text' is missing: the task's format is \"fim\", which splits a text (map another column with "
                'tasks[].columns, such as {"content": "text"})'
            )
        return mftkit.read_text(row)

    def samples(
        self, content: mftkit.RowContent, context: mftkit.FormatContext
    ) -> Iterable[mftkit.FormattedSample]:
        """See ``TaskFormat``."""
        found = content.value
        assert isinstance(found, mftkit.TextContent), "it was read by this format"
        sentinels, end = self._tokens(context)
        random = _random(content, context)
        if random.random() >= self.options.rate:
            return [_plain(found.content, context.eos or end)]
        spm = random.random() < self.options.spm
        parts = self._parts(found.content, context, random)
        return [render(parts, sentinels, end, spm=spm, whole_in_loss=self.options.loss == "all")]

    def control_texts(self, context: mftkit.FormatContext) -> Iterable[str]:
        """See ``TaskFormat``."""
        sentinels, end = self._tokens(context)
        return (*sentinels.texts, end)

    def infill_prompt(
        self, prefix: str, suffix: str, context: mftkit.FormatContext
    ) -> mftkit.FormattedSample | None:
        """See ``TaskFormat``; PSM, unless all samples are SPM."""
        sentinels, end = self._tokens(context)
        segments = tuple(prompt(prefix, suffix, sentinels, spm=self.options.spm == 1))
        return mftkit.FormattedSample(segments, adds_start=True, stops=(("middle", end),))

    def _tokens(self, context: mftkit.FormatContext) -> tuple[Sentinels, str]:
        """Return the tokens before the parts, and the token after the middle."""
        names = self.options.tokens
        if names is None:
            sentinels = find_sentinels(context.vocabulary, context.task)
        else:
            ends = () if names.end is None else (names.end,)
            given = Sentinels("given", names.prefix, names.suffix, names.middle, ends)
            sentinels = check_sentinels(given, context.vocabulary, context.task)
        end = sentinels.end(context.vocabulary, context.eos)
        if not end:
            raise mftkit.MftError(
                f'task {context.task}: the tokenizer has no end-of-text token, which the format "fim" requires: name '
                "one in format.options.tokens.end"
            )
        return sentinels, end

    def _parts(self, text: str, context: mftkit.FormatContext, random: Random) -> Parts:
        """Return prefix, middle and suffix. What does not fit is cut off at their outer ends, before the split."""
        window, limit = Span(0, len(text)), self._limit(context)
        if limit is not None and context.token_starts is not None:
            window = choose_window(text, limit, context.token_starts, random)
        start, end = choose_middle(text, window, self.options.spans, random, context.note)
        parts = Parts(text[window.start : start], text[start:end], text[end : window.end])
        if limit is not None and context.token_starts is not None:
            parts = fit(parts, limit, context.token_starts)
        if len("".join(parts)) < len(text):
            context.note(
                "{rows} are too long for one sample: a stretch around each split is trained, and the rest is not"
            )
        return parts

    def _limit(self, context: mftkit.FormatContext) -> int | None:
        """Return the most tokens of the three parts; None if there is no limit."""
        limits = [self.options.context]
        if context.max_length is not None:
            limits.append(context.max_length - _OVERHEAD)
        given = [limit for limit in limits if limit is not None]
        if given and min(given) < 1:
            raise mftkit.MftError(
                f'task {context.task}: the format "fim" needs a max_length over {_OVERHEAD}, not {context.max_length}'
            )
        return min(given, default=None)


def _random(content: mftkit.RowContent, context: mftkit.FormatContext) -> Random:
    """Return a source of random numbers that depends on nothing but the seed, the row's content and the variant."""
    made_of = json.dumps([context.seed, content.identity, context.variant], sort_keys=True)
    return Random(hashlib.sha256(made_of.encode()).digest())


def _plain(text: str, end: str) -> mftkit.FormattedSample:
    segments = (
        mftkit.Segment((mftkit.Piece(text, content=True),), "all"),
        mftkit.Segment((mftkit.Piece(end, content=False),), "all"),
    )
    return mftkit.FormattedSample(segments, adds_start=True)
