"""Facts about the families of an adapter: rows of the table, and formats of their instruct models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit.interfaces.attribute_docs import documented

if TYPE_CHECKING:
    from collections.abc import Mapping


@documented
@dataclass(frozen=True)
class Family:
    """One row of the table of families (docs/models.md), and a tiny model for conformance tests."""

    name: str
    """The models' usual name."""
    config: Mapping[str, Any]
    """A tiny model's config.json, as the family's checkpoints have it."""
    native_class: str
    """The transformers class of the loaded model."""
    attentions: tuple[str, ...] = ("sdpa", "eager")
    """The attentions that the family has on a CPU under which packed samples stay apart; (): they never do."""
    leaks: str = ""
    """Why they do not, as a predicate: "keeps state across packed samples"; "" if they stay apart."""
    router_loss: bool = False
    """Whether it has experts, whose router's balance is part of the objective."""
    plain: bool = True
    """Whether transformers alone computes a saved model's logits."""
    compared_with: str = "the class in transformers"
    """The reference for its logits."""
    note: str = ""
    """A remark for users."""


@documented
@dataclass(frozen=True)
class InstructFormat:
    """The chat format of a family's instruct models, recognized by its control tokens."""

    name: str
    tokens: tuple[str, ...]
    """Its control tokens: a tokenizer has the format only if all are among its added tokens."""
    end: str
    """The token that ends an answer."""
    template: str
    """The chat template, in Jinja."""

    def fits(self, added: set[str]) -> bool:
        """Return True if a tokenizer with these added tokens has all that the format needs."""
        return {*self.tokens, self.end} <= added
