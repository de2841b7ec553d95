"""The arithmetic of the families that are converted, written once more from their papers and configs.

It works on the checkpoints' own names and layouts, in plain torch, and shares nothing with the conversion:
that both give the same logits for a checkpoint of any shape is what tests compare. That it is right itself
is tried on the fixtures, whose logits the original code gave.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

Weights = dict[str, "Tensor"]


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def angles(length: int, width: int, base: float) -> tuple[Tensor, Tensor]:
    """cos and sin [S, width / 2]."""
    turns = torch.arange(length).float().outer(base ** -(torch.arange(0, width, 2).float() / width))
    return turns.cos(), turns.sin()


def rotate_halves(x: Tensor, base: float) -> Tensor:
    """[..., S, D]: component i with component i + D / 2."""
    cos, sin = angles(x.shape[-2], x.shape[-1], base)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def rotate_neighbours(x: Tensor, base: float) -> Tensor:
    """[..., S, D]: neighbours in the first half of the head; the second half stays."""
    turned, kept = x.chunk(2, -1)
    cos, sin = angles(x.shape[-2], turned.shape[-1], base)
    a, b = turned[..., 0::2], turned[..., 1::2]
    pairs = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    return torch.cat([pairs, kept], -1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """q [B, h, S, D], k and v [B, g, S, D], causal; [B, S, h * D]."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    return (scores.masked_fill(future, -math.inf).softmax(-1) @ v).transpose(1, 2).flatten(-2)


def heads_of(x: Tensor, heads: int) -> Tensor:
    split: Tensor = x.unflatten(-1, (heads, -1))  # type: ignore[no-untyped-call]
    return split.transpose(1, 2)


def decode(
    x: Tensor, layers: int, attention: Callable[[Tensor, int], Tensor], mlp: Callable[[Tensor, int], Tensor]
) -> Tensor:
    for layer in range(layers):
        x = x + attention(x, layer)
        x = x + mlp(x, layer)
    return x


def chatglm(w: Weights, c: dict[str, Any], ids: Tensor) -> Tensor:
    heads, width, eps = c["num_attention_heads"], c["kv_channels"], c["layernorm_epsilon"]
    base = 10000.0 * c.get("rope_ratio", 1.0)

    def attention(x: Tensor, i: int) -> Tensor:
        at = f"transformer.encoder.layers.{i}."
        x = rms(x, w[at + "input_layernorm.weight"], eps)
        x = x @ w[at + "self_attention.query_key_value.weight"].T
        x = x + w.get(at + "self_attention.query_key_value.bias", torch.zeros(()))
        if c["multi_query_attention"]:
            groups = c["multi_query_group_num"]
            q, k, v = torch.split(x, [heads * width, groups * width, groups * width], -1)
            q, k, v = heads_of(q, heads), heads_of(k, groups), heads_of(v, groups)
        else:
            q, k, v = heads_of(x, heads).chunk(3, -1)
        out = attend(rotate_neighbours(q, base), rotate_neighbours(k, base), v)
        return out @ w[at + "self_attention.dense.weight"].T

    def mlp(x: Tensor, i: int) -> Tensor:
        at = f"transformer.encoder.layers.{i}."
        x = rms(x, w[at + "post_attention_layernorm.weight"], eps)
        gate, up = (x @ w[at + "mlp.dense_h_to_4h.weight"].T).chunk(2, -1)
        return torch.nn.functional.silu(gate) * up @ w[at + "mlp.dense_4h_to_h.weight"].T

    x = decode(w["transformer.embedding.word_embeddings.weight"][ids], c["num_layers"], attention, mlp)
    return (
        rms(x, w["transformer.encoder.final_layernorm.weight"], eps) @ w["transformer.output_layer.weight"].T
    )


def qwen1(w: Weights, c: dict[str, Any], ids: Tensor) -> Tensor:
    heads, eps, base = c["num_attention_heads"], c["layer_norm_epsilon"], c["rotary_emb_base"]

    def attention(x: Tensor, i: int) -> Tensor:
        at = f"transformer.h.{i}."
        x = rms(x, w[at + "ln_1.weight"], eps)
        packed = x @ w[at + "attn.c_attn.weight"].T + w[at + "attn.c_attn.bias"]
        q, k, v = (heads_of(part, heads) for part in packed.chunk(3, -1))
        return attend(rotate_halves(q, base), rotate_halves(k, base), v) @ w[at + "attn.c_proj.weight"].T

    def mlp(x: Tensor, i: int) -> Tensor:
        at = f"transformer.h.{i}."
        x = rms(x, w[at + "ln_2.weight"], eps)
        up, gate = x @ w[at + "mlp.w1.weight"].T, x @ w[at + "mlp.w2.weight"].T
        return up * torch.nn.functional.silu(gate) @ w[at + "mlp.c_proj.weight"].T

    x = decode(w["transformer.wte.weight"][ids], c["num_hidden_layers"], attention, mlp)
    return rms(x, w["transformer.ln_f.weight"], eps) @ w["lm_head.weight"].T


def alibi_bias(heads: int, length: int) -> Tensor:
    """[heads, 1, S]: the original's absolute form, slope * key, which softmax makes relative."""

    def series(n: int) -> list[float]:
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start ** (i + 1) for i in range(n)]

    nearest = 2 ** math.floor(math.log2(heads))
    slopes = series(nearest) + series(2 * nearest)[0::2][: heads - nearest]
    return torch.tensor(slopes)[:, None, None] * torch.arange(length)


def llama_like(w: Weights, c: dict[str, Any], ids: Tensor) -> Tensor:
    """Baichuan of both generations and sizes, and Aquila."""
    heads, eps, base = c["num_attention_heads"], c["rms_norm_eps"], c.get("rope_theta", 10000.0)
    groups = c.get("num_key_value_heads", heads)
    baichuan = c["model_type"] == "baichuan"
    alibi = baichuan and "max_position_embeddings" not in c

    def attention(x: Tensor, i: int) -> Tensor:
        at = f"model.layers.{i}."
        x = rms(x, w[at + "input_layernorm.weight"], eps)
        if baichuan:
            q, k, v = (x @ w[at + "self_attn.W_pack.weight"].T).chunk(3, -1)
        else:
            q, k, v = (x @ w[f"{at}self_attn.{name}_proj.weight"].T for name in "qkv")
        q, k, v = heads_of(q, heads), heads_of(k, groups), heads_of(v, groups)
        if alibi:
            out = attend(q, k, v, alibi_bias(heads, x.shape[1]))
        else:
            out = attend(rotate_halves(q, base), rotate_halves(k, base), v)
        return out @ w[at + "self_attn.o_proj.weight"].T

    def mlp(x: Tensor, i: int) -> Tensor:
        at = f"model.layers.{i}."
        x = rms(x, w[at + "post_attention_layernorm.weight"], eps)
        gate, up = (x @ w[f"{at}mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        return torch.nn.functional.silu(gate) * up @ w[at + "mlp.down_proj.weight"].T

    x = decode(w["model.embed_tokens.weight"][ids], c["num_hidden_layers"], attention, mlp)
    head = w["lm_head.weight"]
    first = "BaiChuan" in str(c["architectures"]) or (alibi and c["vocab_size"] == 64000)
    if baichuan and not first:
        head = head / head.norm(dim=-1, keepdim=True)
    return rms(x, w["model.norm.weight"], eps) @ head.T


REFERENCES = {"chatglm": chatglm, "qwen": qwen1, "baichuan": llama_like, "aquila": llama_like}


def original_logits(directory: Path, ids: Tensor) -> Tensor:
    """[B, S, V] float32: what a checkpoint in a family's own layout gives."""
    config = json.loads((directory / "config.json").read_text())
    weights: Weights = {}
    for file in directory.glob("model*.safetensors"):
        weights |= load_file(file)
    for file in directory.glob("*.bin"):
        weights |= torch.load(file, weights_only=True)
    return REFERENCES[config["model_type"]](weights, config, ids)


def shapes(c: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The parameters of a checkpoint with this config."""
    hidden = c["hidden_size"]
    if c["model_type"] == "chatglm":
        heads, width, inner = c["num_attention_heads"], c["kv_channels"], c["ffn_hidden_size"]
        groups = c["multi_query_group_num"] if c["multi_query_attention"] else heads
        packed = (heads + 2 * groups) * width
        layer = {
            "input_layernorm.weight": (hidden,),
            "post_attention_layernorm.weight": (hidden,),
            "self_attention.query_key_value.weight": (packed, hidden),
            "self_attention.dense.weight": (hidden, heads * width),
            "mlp.dense_h_to_4h.weight": (2 * inner, hidden),
            "mlp.dense_4h_to_h.weight": (hidden, inner),
        }
        if c["add_qkv_bias"]:
            layer["self_attention.query_key_value.bias"] = (packed,)
        outer = ("transformer.embedding.word_embeddings", "transformer.encoder.final_layernorm")
        return _all(c, "transformer.encoder.layers", layer, *outer, "transformer.output_layer")
    if c["model_type"] == "qwen":
        inner = c["intermediate_size"] // 2
        layer = {
            "ln_1.weight": (hidden,),
            "ln_2.weight": (hidden,),
            "attn.c_attn.weight": (3 * hidden, hidden),
            "attn.c_attn.bias": (3 * hidden,),
            "attn.c_proj.weight": (hidden, hidden),
            "mlp.w1.weight": (inner, hidden),
            "mlp.w2.weight": (inner, hidden),
            "mlp.c_proj.weight": (hidden, inner),
        }
        return _all(c, "transformer.h", layer, "transformer.wte", "transformer.ln_f", "lm_head")
    inner, heads = c["intermediate_size"], c["num_attention_heads"]
    layer = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        "self_attn.o_proj.weight": (hidden, hidden),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
    }
    if c["model_type"] == "baichuan":
        layer["self_attn.W_pack.weight"] = (3 * hidden, hidden)
    else:
        narrow = hidden // heads * c["num_key_value_heads"]
        rows = {"q": hidden, "k": narrow, "v": narrow}
        layer |= {f"self_attn.{name}_proj.weight": (count, hidden) for name, count in rows.items()}
    return _all(c, "model.layers", layer, "model.embed_tokens", "model.norm", "lm_head")


def _all(
    c: dict[str, Any], layers: str, layer: dict[str, tuple[int, ...]], embedding: str, norm: str, head: str
) -> dict[str, tuple[int, ...]]:
    hidden, vocabulary = c["hidden_size"], c.get("padded_vocab_size") or c["vocab_size"]
    count = c.get("num_layers") or c["num_hidden_layers"]
    found = {f"{layers}.{i}.{name}": shape for i in range(count) for name, shape in layer.items()}
    outer = {embedding: (vocabulary, hidden), norm: (hidden,), head: (vocabulary, hidden)}
    return found | {f"{name}.weight": shape for name, shape in outer.items()}


def write_original(
    directory: Path, config: dict[str, Any], *, shards: int = 1, pickled: bool = False, seed: int = 0
) -> Path:
    """A checkpoint with random weights under the family's own names, in safetensors or PyTorch's .bin."""
    draw = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(shape, generator=draw) / shape[-1] ** 0.5
        if len(shape) > 1
        else 1 + 0.3 * torch.randn(shape, generator=draw)
        for name, shape in shapes(config).items()
    }
    return write_weights(directory, config, weights, shards=shards, pickled=pickled)


def write_weights(
    directory: Path, config: dict[str, Any], weights: Weights, *, shards: int = 1, pickled: bool = False
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    stem, end = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    names = sorted(weights)
    parts = [names[i::shards] for i in range(shards)]  # a layer's tensors lie in several shards
    files = [
        f"{stem}.{end}" if shards == 1 else f"{stem}-{i + 1:05d}-of-{shards:05d}.{end}" for i in range(shards)
    ]
    for file, part in zip(files, parts, strict=True):
        held = {name: weights[name] for name in part}
        if pickled:
            torch.save(held, directory / file)
        else:
            save_file(held, directory / file, metadata={"format": "pt"})
    if shards > 1:
        index = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        told = {"metadata": {"total_size": 4 * sum(w.numel() for w in weights.values())}, "weight_map": index}
        (directory / f"{stem}.{end}.index.json").write_text(json.dumps(told))
    return directory
