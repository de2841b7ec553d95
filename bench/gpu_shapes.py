"""The shapes of ``bench/gpu.py``, and a model adapter that fills them with random weights on the device itself.

A checkpoint of 70B parameters need not exist to measure a step of it: the directory that ``write_base`` makes has a
config and a tokenizer, and the adapter draws the weights, layer by layer, in 4 bits where the tuning asks for it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import mftkit
from mftkit.models.config import build_config
from mftkit_plugins.models.llama import Llama

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit import LoadRequest, Register

QWEN_05B = {
    "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
    "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True,
    "max_position_embeddings": 32768, "rope_theta": 1e6,
}  # fmt: skip
QWEN_7B = {
    **QWEN_05B, "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_8B = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False,
    "max_position_embeddings": 8192, "rope_theta": 5e5,
}  # fmt: skip
LLAMA_70B = {
    **LLAMA_8B, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen2.5-0.5B": QWEN_05B,
    "Qwen2.5-7B": QWEN_7B,
    "Llama-3-8B": LLAMA_8B,
    "Llama-3-70B": LLAMA_70B,
}
TINY = {
    "vocab_size": 2048, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip


def shape(name: str, *, tiny: bool) -> dict[str, Any]:
    """The config.json of a shape, or of a tiny model of the same family."""
    return {**SHAPES[name], **(TINY if tiny else {})}


def write_base(directory: Path, config: dict[str, Any]) -> None:
    """Write a checkpoint directory without weights: config.json and a small tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet
    )
    bpe.train_from_iterator([text(i, 200) for i in range(200)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="</s>")
    directory.mkdir(parents=True)
    tokenizer.save_pretrained(directory)
    (directory / "config.json").write_text(json.dumps({**config, "pad_token_id": 0, "eos_token_id": 1}))


def text(seed: int, words: int) -> str:
    """Random words, always the same for a seed."""
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghij", k=draw.randint(2, 7))) for _ in range(words))


class RandomWeights(Llama):
    """Llama and Qwen 2 with random weights, made on the device and never on the host."""

    def matches(self, config: dict[str, Any]) -> int:
        """Match both families, only where a spec names this adapter: others match them exactly as well."""
        return 2 if config.get("model_type") in ("llama", "qwen2") else 0

    def load(self, request: LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """Make the model that ``request.config`` describes, in 4 bits where the tuning asks for it; load a result."""
        if request.path and list(Path(request.path).glob("*.safetensors")):
            return super().load(request)
        quantization = request.load_options.get("quantization_config")
        attention = {} if request.attention == "auto" else {"attn_implementation": request.attention}
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = random_model(request.config, request.dtype, device, quantization, **attention)
        return model, self.load_tokenizer(request)


def random_model(
    config: dict[str, Any],
    dtype: torch.dtype,
    device: torch.device,
    quantization: Any = None,
    **options: Any,
) -> PreTrainedModel:
    """The model of a config.json with random weights on ``device``; ``quantization`` is a BitsAndBytesConfig."""
    from transformers import AutoModelForCausalLM

    built = build_config(config, given_by_hand=False)
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(built, dtype=dtype, **options)
    if quantization is not None:
        from transformers.integrations.bitsandbytes import replace_with_bnb_linear
        from transformers.quantizers import AutoHfQuantizer
        from transformers.utils.quantization_config import QuantizationMethod

        replace_with_bnb_linear(model, ["lm_head"], quantization)
        model.is_quantized = model.is_loaded_in_4bit = True  # what peft and TRL ask a model for
        model.quantization_method = QuantizationMethod.BITS_AND_BYTES
        model.hf_quantizer = AutoHfQuantizer.from_config(quantization, pre_quantized=False)
    torch.manual_seed(0)
    for name, module in list(model.named_modules()):
        if "rotary" in name.rpartition(".")[2]:
            with device:  # its frequencies are computed, not drawn
                model.set_submodule(name, type(module)(built))
        else:
            _fill(module, device, dtype)
    model.tie_weights()
    return model


def _fill(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Draw the module's own parameters: 1 for norms, 0 for biases, otherwise small random numbers."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        data = torch.empty(_shape(module, name, parameter), dtype=dtype, device=device)
        if data.ndim == 1:
            data.fill_(0.0 if name == "bias" else 1.0)
        else:
            data.normal_(std=0.02)
        if type(parameter).__name__ == "Params4bit":
            kept = {
                key: getattr(parameter, key) for key in ("quant_type", "compress_statistics", "quant_storage")
            }
            filled = type(parameter)(data, requires_grad=False, module=module, **kept).to(device)
        else:
            filled = torch.nn.Parameter(data)
        module._parameters[name] = filled


def _shape(module: nn.Module, name: str, parameter: torch.Tensor) -> tuple[int, ...]:
    """The shape of a parameter before it is quantized."""
    if name == "weight" and hasattr(module, "out_features"):
        return (int(module.out_features), int(module.in_features))  # type: ignore[arg-type]
    return tuple(parameter.shape)


@mftkit.hookimpl
def register_model_adapters(register: Register) -> None:
    """Register the adapter: a spec names this file under ``plugins``."""
    register(
        "random-weights", RandomWeights, summary="Llama and Qwen 2 with random weights, for measurements"
    )
