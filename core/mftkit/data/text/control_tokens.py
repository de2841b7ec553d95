"""Control tokens, and their look-alikes in the contents of rows.

A tokenizer reads the text of an added token as that token, wherever it stands. In a chat, a content that looks like
the end of a turn must stay text: it is masked before a template sees it, and encoded apart from the format's own text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from mftkit.data.rows.faults import BadRow
from mftkit.interfaces.task_format import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transformers import PreTrainedTokenizerBase

SpecialTokens = Literal["auto", "text", "token"]
"""What the text of a special token in a content means (``data.special_tokens``)."""

_REASONING = re.compile(r"think|reason", re.IGNORECASE)
"""Added tokens around reasoning, which answers have in their contents."""
_MASK = re.compile(r"mftlookalike(\d+)x")
_MASK_STEM = "mftlookalike"
_MASK_LEFT = re.compile(_MASK_STEM, re.IGNORECASE)
_BRACKETED = re.compile(r"[<\[].+[>\]]|\|.+\|")
"""Text of an added token that is a mark although it may not be a special token, such as ``<|fim_prefix|>`` in some
vocabularies."""
_NEVER = re.compile(r"(?!)")


class AddedToken(NamedTuple):
    """A token that the tokenizer finds in a text before it splits the rest."""

    text: str
    special: bool
    single_word: bool
    rstrip: bool
    """Whether white space after it is part of it."""


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> list[AddedToken]:
    """Return the tokenizer's added tokens, except white space, which some vocabularies add; sorted by their text."""
    found = {
        str(token.content): AddedToken(
            str(token.content), bool(token.special), bool(token.single_word), bool(token.rstrip)
        )
        for token in tokenizer.added_tokens_decoder.values()
        if str(token.content).strip()
    }
    return [found[text] for text in sorted(found)]


def any_of(tokens: Iterable[AddedToken]) -> re.Pattern[str]:
    """Return a pattern that matches any of these tokens, the longest first."""
    longest_first = sorted(tokens, key=lambda token: (-len(token.text), token.text))
    patterns = [
        rf"(?<!\w){re.escape(token.text)}(?!\w)" if token.single_word else re.escape(token.text)
        for token in longest_first
    ]
    return re.compile("|".join(patterns)) if patterns else _NEVER


def _is_mark(token: AddedToken) -> bool:
    """Return True for a special token, or one that is written like one and is no mark of reasoning."""
    return token.special or (bool(_BRACKETED.fullmatch(token.text)) and not _REASONING.search(token.text))


class ControlTokens:
    """The tokens whose text in a content is plain text."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        format_texts: Iterable[str],
        special_tokens: SpecialTokens,
        source: str = "",
        *,
        chat: bool = False,
    ) -> None:
        """``format_texts``: text of the format itself; in "auto", the tokens in it are those that it is made of.

        ``source``: a program that writes such text; other tokens in it (around calls of tools) are tokens in contents,
        too, and reported. ``chat``: True for a chat format, of which the tokens that begin, end and pad texts are a
        part, too.
        """
        everything = added_tokens(tokenizer)
        own = "\0".join(format_texts)
        ends = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token} if chat else set()
        self.own = frozenset(token.text for token in everything if token.text in own)
        """The format's own tokens, whatever their text in a content means."""
        if special_tokens == "text":
            chosen = [token for token in everything if token.text in own or _is_mark(token)]
        elif special_tokens == "token":
            chosen = []
        else:
            chosen = [token for token in everything if token.text in own or token.text in ends]
            chosen = [token for token in chosen if not _REASONING.search(token.text)]
        self.texts = frozenset(token.text for token in chosen)
        self.pattern = any_of(chosen)
        self.masked = re.compile(f"{self.pattern.pattern}|(?i:{_MASK_STEM})")
        """Matches what is masked: these tokens, and a content's own text that looks like a mask."""
        self.noticed = any_of(
            token
            for token in everything
            if token.text in self.texts or token.text in source or _is_mark(token)
            if not _REASONING.search(token.text)
        )
        """Matches every token whose text in a content is worth a report."""

    def describe(self) -> list[str]:
        """Return what encodings depend on."""
        return sorted(self.texts)


class LookAlikes:
    """The look-alikes of control tokens in one row: masked while a template renders it."""

    def __init__(self, controls: ControlTokens, texts: Iterable[str] | None = None) -> None:
        """``texts``: all that will be masked, if it is known: most rows have no look-alike, which saves the search."""
        self._controls = controls
        self._found: list[str] = []
        self._none = texts is not None and not any(map(controls.masked.search, texts))

    def mask(self, value: object) -> object:
        """Return a JSON value in whose strings each look-alike is a word that no template reacts to."""
        if self._none:
            return value
        if isinstance(value, str):
            return self._controls.masked.sub(self._masked, value)
        if isinstance(value, list | tuple):
            return [self.mask(item) for item in value]
        if isinstance(value, dict):
            return {self.mask(key): self.mask(item) for key, item in value.items()}
        return value

    def pieces(self, text: str) -> tuple[Piece, ...]:
        """Return rendered text as pieces: a stretch between two control tokens is content if a look-alike is in it."""
        if not text:
            return ()
        if not self._found or not _MASK.search(text):
            return (Piece(self._unmasked(text), False),)
        pieces: list[Piece] = []
        plain_start = start = 0
        for end, following in [
            *(found.span() for found in self._controls.pattern.finditer(text)),
            (len(text), len(text)),
        ]:
            if _MASK.search(text, start, end):
                pieces += [
                    Piece(text[plain_start:start], False),
                    Piece(self._unmasked(text[start:end]), True),
                ]
                plain_start = end
            start = following
        pieces.append(Piece(text[plain_start:], False))
        return tuple(piece for piece in pieces if piece.text)

    def _masked(self, found: re.Match[str]) -> str:
        if found[0] not in self._found:
            self._found.append(found[0])
        return f"mftlookalike{self._found.index(found[0])}x"

    def _unmasked(self, text: str) -> str:
        if not self._found:
            return text
        if _MASK_LEFT.search(_MASK.sub("", text)):
            raise BadRow("the chat template rewrites a content that looks like one of its control tokens")
        return _MASK.sub(lambda found: self._found[int(found[1])], text)

    def unmasked(self, text: str) -> str:
        """Return rendered text with the look-alikes in their places."""
        return self._unmasked(text)


def tokens_in(texts: Iterable[str], pattern: re.Pattern[str]) -> Mapping[str, int]:
    """Return the tokens that a pattern finds in some texts, and how often."""
    counts: dict[str, int] = {}
    for text in texts:
        for found in pattern.finditer(text):
            counts[found[0]] = counts.get(found[0], 0) + 1
    return counts
