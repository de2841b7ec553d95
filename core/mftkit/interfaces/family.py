"""What an adapter says of the families it serves: rows of the table, and formats of their instruct models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit.interfaces.attribute_docs import documented

if TYPE_CHECKING:
    from collections.abc import Mapping


@documented
@dataclass(frozen=True)
class Family:
    """One row of the table of families (docs/models.md), and what its conformance is tried on."""

    name: str
    """The models, as people call them."""
    config: Mapping[str, Any]
    """A tiny model's config.json, as the family's checkpoints have it."""
    native_class: str
    """The class of transformers that the loaded model is of."""
    attentions: tuple[str, ...] = ("sdpa", "eager")
    """The attentions that the family has on a CPU; packed samples stay apart under each."""
    router_loss: bool = False
    """Whether it has experts, whose router's balance is part of the objective."""
    plain: bool = True
    """Whether transformers alone gives a saved model's logits."""
    compared_with: str = "the class in transformers"
    """What its logits are compared with."""
    note: str = ""
    """What a user must know beside it."""


@documented
@dataclass(frozen=True)
class InstructFormat:
    """The chat format of a family's instruct models, told by its control tokens."""

    name: str
    tokens: tuple[str, ...]
    """Its control tokens: the format is a tokenizer's only where all are among its added tokens."""
    end: str
    """The token that ends an answer."""
    template: str
    """The chat template, in Jinja."""

    def fits(self, added: set[str]) -> bool:
        """Whether a tokenizer with these added tokens has all that the format needs."""
        return {*self.tokens, self.end} <= added
