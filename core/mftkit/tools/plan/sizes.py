"""What the parameters of an outlined model take, and which of them one token multiplies with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from mftkit.plugins import installed, kinds
from mftkit.training.optimizer import trained_parameters
from mftkit.training.plan import parameter_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from transformers import PreTrainedConfig

    from mftkit.tools.plan.outline import Outline

NF4_BITS, NF4_DOUBLE_BITS = 4.5, 4 + 8 / 64 + 32 / (64 * 256)
"""Bits per weight: 4, and a float32 scale for 64 weights; or an 8-bit one, with a float32 scale for 256 of those
(arXiv 2305.14314, section 3: 0.127 bits per weight)."""
INT8_BITS = 8
EXPERTS_PER_TOKEN = ("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts", "num_selected_experts")
"""Keys of configs for the experts that a token is routed to."""
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True)
class Sizes:
    """Numbers and bytes of a model's parameters."""

    total: int
    trained: int
    active: float
    """Parameters that one token uses: all but those of experts that it is not routed to."""
    frozen_bytes: float
    """As they are stored, quantized or not."""
    trained_bytes: int
    """Of trained weights; their gradients take as much."""
    optimizer_bytes: float
    """Of the optimizer's state."""
    buffer_bytes: int
    frozen_unit: float
    """Bytes of the largest decoder layer's frozen weights."""
    trained_unit: float
    frozen_root: float
    """Bytes of frozen weights outside of the decoder layers: embedding, head, norms."""
    trained_root: float
    largest_dequantized: int
    """Bytes of the largest quantized matrix in the dtype of the arithmetic; 0 without quantization."""
    frozen_products: float
    """Frozen parameters that one token is multiplied with: in matrices, not in the embedding's table."""
    trained_products: float
    layer_products: float
    """Those of both in decoder layers, which gradient checkpointing multiplies with once more."""


def measure(outline: Outline) -> Sizes:
    """The sizes of an outlined model."""
    model, base = outline.model, outline.tuning.base_model(outline.model)
    layers = decoder_layers(base)
    in_layer = {id(p): i for i, layer in enumerate(layers) for p in layer.parameters()}
    stored = _Stored(outline, base)
    table, head = getattr(base.get_input_embeddings(), "weight", None), _head(base)
    share = _active_share(base.config.get_text_config())
    tally = _Tally(len(layers))
    for name, parameter in model.named_parameters():
        used = share if ".experts." in name else 1.0
        multiplied = parameter.ndim >= 2 and (parameter is not table or parameter is head)
        tally.add(parameter, stored.bytes_of(parameter), used, multiplied, in_layer.get(id(parameter)))
    ref = outline.spec.training.optimizer
    optimizer = installed.build(kinds.OPTIMIZER, ref.name, ref.options)
    return tally.sizes(
        optimizer=float(sum(map(optimizer.state_bytes, trained_parameters(model, base)))),
        buffers=sum(_bytes(buffer) for buffer in model.buffers()),
        largest_dequantized=stored.largest * outline.precision.arithmetic.itemsize,
    )


class _Tally:
    """Sums over parameters."""

    def __init__(self, layers: int) -> None:
        self.total = self.trained = 0
        self.active = 0.0
        self.bytes = {False: 0.0, True: 0.0}
        self.layers = {False: [0.0] * layers, True: [0.0] * layers}
        self.products = {False: 0.0, True: 0.0}
        self.layer_products = 0.0

    def add(self, parameter: Tensor, size: float, used: float, multiplied: bool, layer: int | None) -> None:
        trains = parameter.requires_grad
        self.total += parameter_size(parameter)
        self.trained += parameter_size(parameter) if trains else 0
        self.active += parameter_size(parameter) * used
        self.bytes[trains] += size
        if layer is not None:
            self.layers[trains][layer] += size
        if multiplied:
            self.products[trains] += parameter_size(parameter) * used
            self.layer_products += parameter_size(parameter) * used if layer is not None else 0.0

    def sizes(self, *, optimizer: float, buffers: int, largest_dequantized: int) -> Sizes:
        return Sizes(
            total=self.total,
            trained=self.trained,
            active=self.active,
            frozen_bytes=self.bytes[False],
            trained_bytes=int(self.bytes[True]),
            optimizer_bytes=optimizer,
            buffer_bytes=buffers,
            frozen_unit=max(self.layers[False], default=0.0),
            trained_unit=max(self.layers[True], default=0.0),
            frozen_root=self.bytes[False] - sum(self.layers[False]),
            trained_root=self.bytes[True] - sum(self.layers[True]),
            largest_dequantized=largest_dequantized,
            frozen_products=self.products[False],
            trained_products=self.products[True],
            layer_products=self.layer_products,
        )


class _Stored:
    """How the frozen base is stored: transformers quantizes linear layers, except for the output head."""

    def __init__(self, outline: Outline, base: Any) -> None:
        self._bits = _bits(outline.quantization)
        self._quantized = set(_linear_weights(base)) if self._bits else set()
        self.largest = 0
        """Numbers in the largest quantized matrix so far."""

    def bytes_of(self, parameter: Tensor) -> float:
        if self._bits is None or id(parameter) not in self._quantized:
            return _bytes(parameter)
        self.largest = max(self.largest, parameter_size(parameter))
        return parameter_size(parameter) * self._bits / 8


def _bits(quantization: Any) -> float | None:
    """Bits per quantized weight by transformers' BitsAndBytesConfig; None: no weight is quantized."""
    if getattr(quantization, "load_in_4bit", False):
        return NF4_DOUBLE_BITS if quantization.bnb_4bit_use_double_quant else NF4_BITS
    return INT8_BITS if getattr(quantization, "load_in_8bit", False) else None


def _linear_weights(base: Any) -> Iterator[int]:
    head = _head(base)
    for module in base.modules():
        if isinstance(module, nn.Linear) and module.weight is not head and not module.weight.requires_grad:
            yield id(module.weight)


def _head(base: Any) -> Tensor | None:
    return getattr(base.get_output_embeddings(), "weight", None)


def decoder_layers(base: nn.Module) -> nn.ModuleList:
    """A transformer's stack of layers: the list of modules with the most parameters; an empty one without lists."""
    lists = [module for module in base.modules() if isinstance(module, nn.ModuleList) and len(module)]
    return max(lists, key=lambda each: sum(p.numel() for p in each.parameters()), default=nn.ModuleList())


def _active_share(config: PreTrainedConfig) -> float:
    """The share of a layer's experts that a token is routed to."""
    chosen, experts = _first(config, EXPERTS_PER_TOKEN), _first(config, EXPERTS)
    return min(1.0, chosen / experts) if chosen and experts else 1.0


def _first(config: PreTrainedConfig, keys: tuple[str, ...]) -> int:
    found = (getattr(config, key, None) for key in keys)
    return next((value for value in found if isinstance(value, int)), 0)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
