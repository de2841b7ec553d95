"""A model's chat: its template, its tokens, and what the template shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from templates import vocabularies

Feature = Literal[
    "system", "users in a row", "tools", "calls", "calls without tools", "parallel calls", "text beside calls"
]
Reasoning = Literal["reasoning_content", "thinking"]


@dataclass(frozen=True)
class Added:
    """An added token with the flags that its real namesake has."""

    text: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False

    def token(self) -> AddedToken:
        return AddedToken(
            self.text,
            special=self.special,
            lstrip=self.lstrip,
            rstrip=self.rstrip,
            normalized=self.normalized,
        )


def special(*texts: str, lstrip: bool = False, rstrip: bool = False) -> tuple[Added, ...]:
    return tuple(Added(text, lstrip=lstrip, rstrip=rstrip) for text in texts)


def plain(*texts: str) -> tuple[Added, ...]:
    """Return added tokens that are no special tokens."""
    return tuple(Added(text, special=False) for text in texts)


@dataclass(frozen=True)
class Chat:
    """A model's chat template and tokenizer."""

    name: str
    template: str | dict[str, str]
    """The template, or templates by name."""
    added: tuple[Added, ...]
    eos: str
    stops: tuple[str, ...]
    """The texts of the tokens at which generation stops (generation_config's eos_token_id)."""
    opening: str = ""
    """The text that stands before every answer; needed where the text with an answer does not begin with its prompt."""
    bos: str | None = None
    pad: str | None = None
    start: tuple[str, ...] = ()
    """The tokens that the tokenizer itself puts before a text."""
    vocabulary: vocabularies.Kind = "bytes"
    supports: frozenset[Feature] = frozenset()
    """The features that the template shows, beside plain turns."""
    arguments: Literal["object", "string"] = "object"
    """The form in which the template takes the arguments of a call."""
    reasoning: Reasoning | None = None
    """The key of an answer under which the template looks for its reasoning."""
    reasoning_shown: Literal["after the last question", "last answer", "never"] = "never"
    """The answers whose reasoning the template shows."""
    unclosed: tuple[str, str] | None = None
    """The stop tokens of a plain answer and of a call, where the template leaves them to the next turn."""
    prompt_end: str = ""
    """Text that prompts have behind ``opening`` and the text with the answer does not have."""
    prompt_options: tuple[dict[str, bool], ...] = ()
    """Other options under which the template is used."""

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the tokenizer: always the same object, so do not change it."""
        return _tokenizer(self.name, self)

    def around_calls(self) -> set[str]:
        """Return the plain tokens that stand around calls, their results and lists of tools."""
        return {added.text for added in self.added if not added.special and "tool" in added.text}

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


def template(name: str) -> str:
    """Return the text of a template in this directory."""
    return Path(__file__).with_name(f"{name}.jinja").read_text(encoding="utf-8")


@cache
def _tokenizer(name: str, chat: Chat) -> PreTrainedTokenizerFast:
    backend = Tokenizer.from_str(vocabularies.backend(chat.vocabulary))
    for added in chat.added:
        (backend.add_special_tokens if added.special else backend.add_tokens)([added.token()])
    if chat.start:
        known = {token.content: token for token in backend.get_added_tokens_decoder().values()}
        assert set(chat.start) <= set(known), name
        tokens = [(text, backend.token_to_id(text)) for text in chat.start]
        before = list(chat.start)
        backend.post_processor = processors.TemplateProcessing(
            single=[*before, "$A"], pair=[*before, "$A", "$B"], special_tokens=tokens
        )
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token=chat.eos,
        bos_token=chat.bos,
        pad_token=chat.pad,
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = chat.template
    return made
