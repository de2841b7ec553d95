"""The text that each token of a sample stands for, to show what the model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mftkit.data.text.encoder import fast_backend

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from transformers import PreTrainedTokenizerBase

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for bytes that are no whole character."""
_LONGEST = 8
"""Most tokens that are shown as one, because only together they are whole characters."""


class TokenText(NamedTuple):
    """A token and its text; several tokens where only all of them are a whole character."""

    start: int
    """The first token's index in the sample."""
    ids: tuple[int, ...]
    text: str
    added: bool
    """Whether it is an added token: a special one, or one that the tokenizer finds before it splits the rest."""


class TokenTexts:
    """Splits the text of samples into that of their tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._backend = fast_backend(tokenizer)
        self._added = {
            number: str(token.content)
            for number, token in tokenizer.added_tokens_decoder.items()
            if str(token.content).strip()
        }

    def split(self, ids: Sequence[int], borders: Container[int] = ()) -> list[TokenText]:
        """Return the tokens with their texts, which joined are the sample's text.

        Ordinary tokens are decoded behind the one before them: decoders drop a space at the beginning of a text.
        Tokens before and after one of ``borders`` (the index of the token after it) are never shown as one.
        """
        found: list[TokenText] = []
        before = start = 0
        for end in range(1, len(ids) + 1):
            added = self._added.get(ids[end - 1])
            if added is not None and start < end - 1:  # an unfinished character before it
                found.append(self._ordinary(ids, before, start, end - 1))
                before, start = start, end - 1
            if added is not None:
                found.append(TokenText(start, (ids[start],), added, True))
            else:
                token = self._ordinary(ids, before, start, end)
                unfinished = token.text.endswith(_UNFINISHED) and end - start < _LONGEST
                if unfinished and end < len(ids) and end not in borders:
                    continue
                found.append(token)
            before, start = start, end
        return found

    def _ordinary(self, ids: Sequence[int], before: int, start: int, end: int) -> TokenText:
        earlier, joined = self._decoded(ids[before:start]), self._decoded(ids[before:end])
        text = joined[len(earlier) :] if joined.startswith(earlier) else self._decoded(ids[start:end])
        return TokenText(start, tuple(ids[start:end]), text, False)

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text
