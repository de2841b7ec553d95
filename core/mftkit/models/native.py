"""What the adapters of transformers' own families share; each family adds its differences."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Protocol

from mftkit.interfaces.model import VARLEN, Head, ModelAdapter
from mftkit.models.loading import from_random_init, pretrained
from mftkit.models.output_layer import output_layer, output_weights
from mftkit.models.text_part import find_decoder, text_part
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import LoadRequest
    from mftkit.interfaces.tokenization import Batch


class DecoderOutputs(Protocol):
    """What is used of a decoder's outputs, whatever their class in transformers."""

    last_hidden_state: Tensor
    """[B, S, H], as the head sees it."""


class NativeAdapter(ModelAdapter):
    """A family whose class is part of transformers: loaded as it is, and run through its decoder."""

    isolating_attentions = (*ModelAdapter.isolating_attentions, VARLEN)

    model_types: ClassVar[tuple[str, ...]] = ()
    """The ``model_type`` of the family's configs."""

    def matches(self, config: JsonObject) -> int:
        """Return 2 for the family's own configs."""
        return 2 if config.get("model_type") in self.model_types else 0

    def load(self, request: LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """Load the checkpoint's model, or make a randomly initialized one, and load the tokenizer beside it."""
        model = pretrained(request) if request.init == "pretrained" else from_random_init(request)
        return model, self.load_tokenizer(request)

    def lora_targets(self, model: PreTrainedModel) -> list[str]:
        """Return the linear layers of the decoder, except head and routers, by their last names if those suffice."""
        skips = _is_router if self.lora_parameters(model) else _is_none
        text = text_part(model)
        head = output_layer(model)
        inner = [
            name
            for name, module in model.named_modules()
            if _is_linear(module) and module in text and module is not head and not skips(name)
        ]
        short = {name.rpartition(".")[2] for name in inner}
        # peft would adapt the head, and what reads images, where their layers have the same names.
        others = (name for name, module in model.named_modules() if module is head or module not in text)
        clash = short & {name.rpartition(".")[2] for name in others}
        return sorted(inner if clash else short)

    def lora_parameters(self, model: PreTrainedModel) -> list[str]:
        """Return the experts, which transformers keeps as stacks of matrices, [experts, out, in] or transposed."""
        stacks = {name: p for name, p in model.named_parameters() if p.dim() == 3}
        parts = [name.replace(".base_layer", "").split(".") for name in stacks]
        return sorted({".".join(part[-2:]) for part in parts if part[-2] == "experts"})

    def outputs(self, model: PreTrainedModel, batch: Batch) -> DecoderOutputs:
        """Return the decoder's outputs.

        The mask stays None and the cache off, in evaluation too: transformers separates samples by restarting
        positions only if there is neither a mask nor a cache, and by default there is a cache.
        """
        ids, positions = batch.input_ids, batch.position_ids
        inputs: dict[str, Tensor | int] = {"input_ids": ids}
        if positions is not None:
            inputs["position_ids"] = positions
            if self.needs_one_row(model):
                inputs = {"input_ids": ids.reshape(1, -1), "position_ids": positions.reshape(1, -1)}
                if batch.cu_seqlens is not None or attention_of(model) == VARLEN:
                    inputs |= _sequences(decoder(model), batch, positions)
        masks: AbstractContextManager[None] = nullcontext()
        if "cu_seq_lens_q" in inputs and attention_of(model) == VARLEN:
            from mftkit.models.varlen_attention import without_masks

            masks = without_masks(model.config.get_text_config())
        with masks:
            outputs: DecoderOutputs = decoder(model)(**inputs, attention_mask=None, use_cache=False)
        hidden = outputs.last_hidden_state
        if hidden.shape[:2] != ids.shape:
            outputs.last_hidden_state = hidden.view(*ids.shape, hidden.shape[-1])
        return outputs

    def needs_one_row(self, model: PreTrainedModel) -> bool:
        """Return True if positions tell samples apart only in a batch of one row, as with flash attention."""
        return attention_of(model) == VARLEN or attention_of(model).startswith("flash_attention")

    def head(self, model: PreTrainedModel) -> Head:
        """Return the output layer, with the scale and the soft cap that the family's config may define."""
        weight, bias = output_weights(model)
        config = model.config.get_text_config()
        return Head(
            weight=weight,
            bias=bias,
            # Several families scale their logits, each under a key of its config.
            scale=_number(config, "logit_scale", 1.0)
            * _number(config, "lm_head_multiplier", 1.0)
            / _number(config, "logits_scaling", 1.0),
            soft_cap=_number(config, "final_logit_softcapping", 0.0) or None,
        )


def _sequences(part: nn.Module, batch: Batch, positions: Tensor) -> dict[str, Tensor | int]:
    """The borders of sequences as transformers passes them to attention: its layers need not look for them then.

    Flash attention finds them in the positions where they are not given: numbers among a compiled layer's arguments
    would make a graph for each. {} for a decoder whose layers cannot be passed anything, which looks at the positions.
    """
    from mftkit.batches.joining import sequences_of

    if not _takes_options(type(part).forward):
        return {}
    borders, longest = batch.cu_seqlens, batch.max_seqlen
    if borders is None or longest is None:
        borders, longest = sequences_of(positions)
    return {
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def decoder(model: PreTrainedModel) -> nn.Module:
    """Return the part of a causal language model that ends in the last hidden states."""
    found = find_decoder(model)
    if found is None:
        raise MftError(
            f"{type(model).__name__} does not say which part is its decoder: it needs its own adapter"
        )
    return found


def attention_of(model: PreTrainedModel) -> str:
    """Return the attention implementation that the model was loaded with, as transformers calls it."""
    return str(getattr(model.config.get_text_config(), "_attn_implementation", None))


@cache
def _takes_options(forward: Callable[..., object]) -> bool:
    """Return True if a decoder's function takes arguments for its layers; kept, as each pass asks."""
    parameters = inspect.signature(forward).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def lacks_float32(model: PreTrainedModel) -> bool:
    """Return True if the model's attention computes in half precision only: flash attention, by whatever name."""
    attention = attention_of(model)
    on_cuda = model.device.type == "cuda"
    return attention.startswith("flash") or (attention == VARLEN and on_cuda)


def _is_linear(module: nn.Module) -> bool:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def _is_router(name: str) -> bool:
    """Return True for a module that chooses or weights experts: it is small, and adapting it unbalances them."""
    last = name.rpartition(".")[2]
    return last == "gate" or last.endswith("_gate") or "router" in last


def _is_none(_name: str) -> bool:
    return False


def _number(config: PreTrainedConfig, key: str, default: float) -> float:
    value = getattr(config, key, None)
    return float(value) if isinstance(value, int | float) else default
