"""The interface of a model adapter: loads a family's checkpoints, and gives access to what training needs."""

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

VARLEN = "varlen"
"""The attention, part of core, whose sequences follow one another in one row without padding and masks."""


@documented
@dataclass(frozen=True)
class LoadRequest:
    """The model that a run asks an adapter to load."""

    path: str | None
    """A directory or a hub id; None for random initialization."""
    config: dict[str, Any]
    """The checkpoint's config.json, or the spec's ``model.config`` for random initialization."""
    dtype: torch.dtype
    """The dtype of the weights."""
    attention: str
    """transformers' ``attn_implementation``, or "auto"."""
    init: Literal["pretrained", "random"] = "pretrained"
    trust_remote_code: bool = False
    load_options: dict[str, Any] = field(default_factory=dict)
    """Passed to ``from_pretrained``: what the tuning requires (quantization, device map), and the ``revision``."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; None: its main branch."""

    def __post_init__(self) -> None:
        # Adapters that know nothing of revisions pass load_options on.
        options = {key: value for key, value in self.load_options.items() if key != "revision"}
        if self.revision is not None and self.init == "pretrained":
            options["revision"] = self.revision
        object.__setattr__(self, "load_options", options)


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

    ``matches`` gets only a config; most others get the model (the transformers class itself: if a tuning has
    wrapped it, core unwraps it first).
    """

    isolating_attentions: ClassVar[tuple[str, ...]] = ("sdpa", "eager", "flash_attention_2")
    """The attentions under which restarting position ids keep packed samples apart."""
    families: ClassVar[tuple[Family, ...]] = ()
    """The families it supports: rows of a table, and the models of its conformance tests."""
    instruct_formats: ClassVar[tuple[InstructFormat, ...]] = ()
    """Chat formats of the families' instruct models, for vocabularies that hold their control tokens."""
    is_fallback: ClassVar[bool] = False
    """States that ``matches`` returns at most 1: it is asked only for checkpoints that no other adapter knows."""
    pad_tokens: ClassVar[tuple[str, ...]] = ()
    """Padding tokens of the families' vocabularies, in order of preference."""

    @required
    def matches(self, config: dict[str, Any]) -> int:
        """0 no, 1 fallback, 2 family, 3 exact."""
        raise NotImplementedError

    def converts(self, config: dict[str, Any]) -> bool:  # noqa: ARG002
        """Return True if a checkpoint with this config is converted on load.

        Others cannot load it as a base then, so the base that a saved adapter names is written in native layout.
        """
        return False

    def describe(self, config: dict[str, Any], max_length: int | None, reporter: Reporter) -> None:
        """Report what the user should know of a checkpoint with this config before it is used.

        ``max_length`` is the longest row that a run trains and validates (tokens); None outside a run.
        """

    tell = RenamedAttribute("describe")

    def packing_problem(self, config: dict[str, Any]) -> str:
        """Why samples that share a row see each other in a model with this config, by what ``families`` state.

        "": nothing is known, and a run tries the loaded model. What is known makes plans right, which load no weights.
        """
        types = {part.get("model_type") for part in (config, config.get("text_config") or {})}
        leaking = (family for family in self.families if family.leaks)
        found = next((each for each in leaking if each.config.get("model_type") in types), None)
        return "" if found is None else f"{found.name} {found.leaks}"

    @required
    def load(self, request: LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """Model and tokenizer; the tokenizer is None if the checkpoint has none."""
        raise NotImplementedError

    def load_tokenizer(self, request: LoadRequest) -> PreTrainedTokenizerBase | None:
        """The tokenizer alone; data is prepared with it before the weights are read."""
        return (
            load_tokenizer(request.path, request.trust_remote_code, request.revision)
            if request.path
            else None
        )

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

    def needs_one_row(self, model: PreTrainedModel) -> bool:  # noqa: ARG002
        """Return True if ``model`` tells samples apart only in a batch of one row: batches then have no padding."""
        return False

    @required
    def head(self, model: PreTrainedModel) -> Head:
        """The output head."""
        raise NotImplementedError

    def auxiliary_loss(self, outputs: Any) -> Tensor | None:  # noqa: ARG002  # what an overriding method reads
        """A scalar that is added to the objective (a router's balance), from what ``outputs`` gave."""
        return None

    def lora_parameters(self, model: PreTrainedModel) -> list[str]:  # noqa: ARG002
        """Names, or their ends, of parameters outside linear modules that low-rank tuning adapts: stacked experts."""
        return []

    def notes(self, model: PreTrainedModel) -> list[str]:  # noqa: ARG002
        """Remarks for users who train this model, one sentence each, shown in the plan."""
        return []

    def instruct_format(self, tokenizer: PreTrainedTokenizerBase) -> InstructFormat | None:
        """The first of ``instruct_formats`` whose control tokens the tokenizer has."""
        added = {str(token.content) for token in tokenizer.added_tokens_decoder.values()}
        return next((known for known in self.instruct_formats if known.fits(added)), None)

    def chat_template(self, tokenizer: PreTrainedTokenizerBase) -> str | None:
        """The tokenizer's own chat template, else that of the family's instruct models; None if there is neither.

        In Jinja. The family's never replaces the tokenizer's own.
        """
        own = getattr(tokenizer, "chat_template", None)
        if isinstance(own, str):
            return own
        known = None if own else self.instruct_format(tokenizer)
        return None if known is None else known.template
