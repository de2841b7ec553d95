"""What adapters of transformers' own families share: each family adds what is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.interfaces.model import Head, ModelAdapter
from mftkit.models.loading import from_random_init, pretrained
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.model import LoadRequest
    from mftkit.interfaces.tokenization import Batch


class NativeAdapter(ModelAdapter):
    """A family of which transformers has the class: loaded as it stands, reached through its decoder."""

    model_types: ClassVar[tuple[str, ...]] = ()
    """The ``model_type`` of the configs that are the family's."""

    def matches(self, config: dict[str, Any]) -> int:
        """2 for the family's own configs."""
        return 2 if config.get("model_type") in self.model_types else 0

    def load(self, request: LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """The checkpoint's model, or one from a random start, and the tokenizer beside it."""
        model = pretrained(request) if request.init == "pretrained" else from_random_init(request)
        return model, self.load_tokenizer(request)

    def lora_targets(self, model: PreTrainedModel) -> list[str]:
        """The linear layers of the decoder, without head and routers: their last names where those say it."""
        routes = _is_router if self.lora_parameters(model) else _is_none
        linear = [name for name, module in model.named_modules() if _is_linear(module) and not routes(name)]
        head = {name for name, module in model.named_modules() if module is output_layer(model)}
        inner = [name for name in linear if name not in head]
        short = {name.rpartition(".")[2] for name in inner}
        clash = short & {name.rpartition(".")[2] for name in head}
        return sorted(inner if clash else short)

    def lora_parameters(self, model: PreTrainedModel) -> list[str]:
        """The experts of a mixture, which transformers holds as stacks of matrices, [experts, out, in] or turned."""
        found = {name: p for name, p in model.named_parameters() if p.dim() == 3}
        parts = [name.replace(".base_layer", "").split(".") for name in found]
        return sorted({".".join(part[-2:]) for part in parts if part[-2] == "experts"})

    def outputs(self, model: PreTrainedModel, batch: Batch) -> Any:
        """The decoder's outputs.

        The mask stays None and the cache off, in evaluation too: samples that restart their positions are
        kept apart only then, and a cache left to its default is on.
        """
        ids, positions = batch.input_ids, batch.position_ids
        flat = positions is not None and len(ids) > 1 and self.needs_one_row(model)
        inputs = {"input_ids": ids.view(1, -1) if flat else ids}
        if positions is not None:
            inputs["position_ids"] = positions.view(1, -1) if flat else positions
        outputs = decoder(model)(**inputs, attention_mask=None, use_cache=False)
        if flat:
            hidden = outputs.last_hidden_state
            outputs.last_hidden_state = hidden.view(*ids.shape, hidden.shape[-1])
        return outputs

    def needs_one_row(self, model: PreTrainedModel) -> bool:
        """Whether positions tell samples apart in a batch of one row only: with flash attention."""
        return attention_of(model).startswith("flash_attention")

    def head(self, model: PreTrainedModel) -> Head:
        """The output layer, with the scale and the soft cap that the family's config may name."""
        from torch import nn

        module = output_layer(model)
        plain = isinstance(module, nn.Linear) and module.weight.is_floating_point()
        if not plain or module.weight.dim() != 2:
            raise MftError(
                f"the head of {type(model).__name__} is no plain linear layer but {type(module).__name__}: "
                "leave it out of the tuning's targets and of quantisation, or use an adapter that knows it"
            )
        config = model.config.get_text_config()
        return Head(
            weight=module.weight,
            bias=module.bias,
            scale=_number(config, "logit_scale", 1.0)
            * _number(config, "lm_head_multiplier", 1.0)
            / _number(config, "logits_scaling", 1.0),
            soft_cap=_number(config, "final_logit_softcapping", 0.0) or None,
        )


def decoder(model: PreTrainedModel) -> nn.Module:
    """The part of a causal language model that ends in the last hidden states."""
    found: nn.Module = model.get_decoder()  # type: ignore[no-untyped-call]
    if found is model:
        raise MftError(
            f"{type(model).__name__} does not say which part is its decoder: it needs an adapter of its own"
        )
    return found


def output_layer(model: PreTrainedModel) -> Any:
    """The module of the output head; where an adapter trains a copy of it (peft's modules_to_save), the copy."""
    module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    copies = getattr(module, "modules_to_save", None)
    return module if copies is None else copies[module.active_adapters[0]]


def attention_of(model: PreTrainedModel) -> str:
    """The attention that the model was loaded with, as transformers calls it."""
    return str(getattr(model.config.get_text_config(), "_attn_implementation", None))


def _is_linear(module: Any) -> bool:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def _is_router(name: str) -> bool:
    """Whether a module decides which experts a token goes to, or how much one counts: small, and best left alone."""
    last = name.rpartition(".")[2]
    return last == "gate" or last.endswith("_gate") or "router" in last


def _is_none(_name: str) -> bool:
    return False


def _number(config: PreTrainedConfig, key: str, default: float) -> float:
    value = getattr(config, key, None)
    return float(value) if isinstance(value, int | float) else default
