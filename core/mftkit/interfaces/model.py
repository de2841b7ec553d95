"""The interface of a model adapter: loading a family's checkpoints, and reaching what training needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required
from mftkit.interfaces.deprecation import RenamedAttribute

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.family import Family, InstructFormat
    from mftkit.interfaces.tokenization import Batch
    from mftkit.reporting.reporter import Reporter


@documented
@dataclass(frozen=True)
class LoadRequest:
    """What the run asks of an adapter."""

    path: str | None
    """A directory or a hub id; None for a model from a random start."""
    config: dict[str, Any]
    """The checkpoint's config.json, or the spec's ``model.config`` for a random start."""
    dtype: torch.dtype
    """Of the weights."""
    attention: str
    """transformers' ``attn_implementation``, or "auto"."""
    init: Literal["pretrained", "random"] = "pretrained"
    trust_remote_code: bool = False
    load_options: dict[str, Any] = field(default_factory=dict)
    """Passed on to ``from_pretrained``: what the tuning asks for (quantisation, device map)."""


@documented
@dataclass(frozen=True)
class Head:
    """The output head: logits = soft_cap * tanh(z / soft_cap), z = scale * (h W^T + bias)."""

    weight: Tensor
    """[vocabulary, H]; ``normalized``: each row is divided by its length first."""
    bias: Tensor | None = None
    scale: float = 1.0
    soft_cap: float | None = None
    normalized: bool = False


@documented
class ModelAdapter(Component[OptionsT]):
    """Knows one family of models.

    ``matches`` looks at a config alone; everything else gets the model (the transformers class itself, also
    where a tuning has wrapped it: core unwraps it first).
    """

    isolating_attentions: ClassVar[tuple[str, ...]] = ("sdpa", "eager", "flash_attention_2")
    """The attentions under which restarting position ids keep packed samples apart."""
    families: ClassVar[tuple[Family, ...]] = ()
    """The families it serves: rows of a table, and what its conformance is tried on."""
    instruct_formats: ClassVar[tuple[InstructFormat, ...]] = ()
    """Chat formats of the families' instruct models, for vocabularies that hold their control tokens."""
    pad_tokens: ClassVar[tuple[str, ...]] = ()
    """Tokens that the families' vocabularies hold for padding, in order of preference."""

    @required
    def matches(self, config: dict[str, Any]) -> int:
        """0 no, 1 fallback, 2 family, 3 exact."""
        raise NotImplementedError

    def converts(self, config: dict[str, Any]) -> bool:  # noqa: ARG002
        """Whether a checkpoint with this config is converted on load.

        It is no base then that others could load: one that an adapter names is written in native layout.
        """
        return False

    def describe(self, config: dict[str, Any], max_length: int | None, reporter: Reporter) -> None:
        """Tell what is to be known of a checkpoint with this config before it is used.

        ``max_length`` is the longest row that a run trains and validates (tokens), None outside of a run.
        """

    tell = RenamedAttribute("describe")

    @required
    def load(self, request: LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """Model and tokenizer; the tokenizer is None where the checkpoint has none."""
        raise NotImplementedError

    def load_tokenizer(self, request: LoadRequest) -> PreTrainedTokenizerBase | None:
        """The tokenizer alone, which data is prepared with before any weight is read."""
        return load_tokenizer(request.path, request.trust_remote_code) if request.path else None

    def lora_targets(self, model: PreTrainedModel) -> list[str]:
        """Names of the linear modules that low-rank tuning adapts by default."""
        raise NotImplementedError

    def outputs(self, model: PreTrainedModel, batch: Batch) -> Any:
        """The decoder's outputs, an object with ``last_hidden_state`` [B, S, H] as the head sees it."""
        raise NotImplementedError

    def hidden_states(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        """[B, S, H]: the last hidden states, as the head sees them."""
        hidden: Tensor = self.outputs(model, batch).last_hidden_state
        return hidden

    @required
    def head(self, model: PreTrainedModel) -> Head:
        """The output head."""
        raise NotImplementedError

    def auxiliary_loss(self, outputs: Any) -> Tensor | None:  # noqa: ARG002  # what an overriding method reads
        """A scalar that is added to the objective (a router's balance), from what ``outputs`` gave."""
        return None

    def lora_parameters(self, model: PreTrainedModel) -> list[str]:  # noqa: ARG002
        """Names, or their ends, of parameters of no linear module that low-rank tuning adapts: stacked experts."""
        return []

    def notes(self, model: PreTrainedModel) -> list[str]:  # noqa: ARG002
        """What whoever trains this model should know, a sentence each, for the plan."""
        return []

    def instruct_format(self, tokenizer: PreTrainedTokenizerBase) -> InstructFormat | None:
        """The first of ``instruct_formats`` whose control tokens the tokenizer has."""
        added = {str(token.content) for token in tokenizer.added_tokens_decoder.values()}
        return next((known for known in self.instruct_formats if known.fits(added)), None)

    def chat_template(self, tokenizer: PreTrainedTokenizerBase) -> str | None:
        """The tokenizer's own chat template, else that of the family's instruct models; None where it has neither.

        In Jinja. The family's is never put over the tokenizer's own.
        """
        own = getattr(tokenizer, "chat_template", None)
        if isinstance(own, str):
            return own
        known = None if own else self.instruct_format(tokenizer)
        return None if known is None else known.template
