"""DeepSeek-V2 and V3: latent attention, shared and routed experts; DeepSeek-Coder 1 is a Llama."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import mftkit
from mftkit_plugins.models.formats import DEEPSEEK
from mftkit_plugins.models.tiny import EXPERTS

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit import RouterOutputs

_TINY = {
    **EXPERTS, "num_key_value_heads": 4, "n_routed_experts": 4, "n_shared_experts": 1, "moe_intermediate_size": 64,
    "first_k_dense_replace": 1, "kv_lora_rank": 64, "q_lora_rank": 64, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16,
    "v_head_dim": 16,
}  # fmt: skip


class DeepSeek(mftkit.MoEAdapter):
    """``DeepseekV2ForCausalLM`` (V2, V2.5, Coder-V2) and ``DeepseekV3ForCausalLM`` (V3, R1).

    The classes in transformers have no router loss. This is the one of the papers, computed for each sample by itself.
    """

    model_types = ("deepseek_v2", "deepseek_v3")
    instruct_formats = (DEEPSEEK,)
    pad_tokens = ("<｜▁pad▁｜>",)
    coefficient_key = "aux_loss_alpha"
    usual_coefficient = 0.0001
    """The coefficient in the paper of V3."""
    families = (
        mftkit.Family(
            "DeepSeek-V2, V2.5, Coder-V2",
            {"model_type": "deepseek_v2", **_TINY},
            "DeepseekV2ForCausalLM",
            router_loss=True,
            note="the router's loss is the paper's (arXiv 2405.04434, Eq. 23), which transformers lacks",
        ),
        mftkit.Family(
            "DeepSeek-V3, R1",
            {"model_type": "deepseek_v3", "n_group": 2, "topk_group": 1, **_TINY},
            "DeepseekV3ForCausalLM",
            router_loss=True,
            note="the bias that balances its router stays fixed; its small loss is the paper's "
            "(arXiv 2412.19437, Eq. 17)",
        ),
    )

    def balance_loss(
        self, model: PreTrainedModel, batch: mftkit.Batch, routed: RouterOutputs
    ) -> Tensor | None:
        """Return the sum over layers of the mean over samples of sum_e f_e P_e (DeepSeek-V2, Eq. 23; V3, Eq. 17-20).

        f_e is E / (k T) times the number of the sample's T tokens sent to expert e of E. P_e is the mean over these T
        tokens of the router's probability of e: by the softmax in V2, by sigmoids divided by their sum in V3.
        """
        return balance_by_sample(batch, routed, by_softmax=model.config.model_type == "deepseek_v2")

    def notes(self, model: PreTrainedModel) -> list[str]:
        """Return a note that V3's bias stays fixed."""
        if model.config.model_type == "deepseek_v3":
            return [
                "the experts of DeepSeek-V3 are balanced by a bias (e_score_correction_bias), which stays as in the "
                "checkpoint; the loss of its router (Eq. 17 of its paper) has the coefficient "
                f"{self.coefficient(model):g}"
            ]
        return super().notes(model)


def balance_by_sample(batch: mftkit.Batch, routed: RouterOutputs, *, by_softmax: bool) -> Tensor:
    """Return the sum over layers of the mean over samples of sum_e f_e P_e; the other probabilities are sigmoids'."""
    import torch

    real, sample = _samples(batch)
    if batch.real_tokens == 0:
        return torch.stack([logits.sum() for logits in routed.logits]).sum() * 0.0
    total = routed.logits[0].new_zeros(())
    for logits, chosen in zip(routed.logits, routed.chosen, strict=True):
        assert chosen is not None  # the routers of these classes return their choice
        if by_softmax:
            probabilities = logits.float().softmax(-1)
        else:
            probabilities = logits.float().sigmoid()
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        total = total + _balance(probabilities[real], chosen[real], sample[real])
    return total


def _samples(batch: mftkit.Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two [B * S]: which positions are not padding, and the sample of each, numbered along the rows."""
    import torch

    ids, positions = batch.input_ids, batch.position_ids
    if positions is None:
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    sample = (positions == 0).flatten().cumsum(0) - 1
    real = torch.ones_like(ids, dtype=torch.bool) if batch.token_mask is None else batch.token_mask
    return real.flatten(), sample


def _balance(probabilities: Tensor, chosen: Tensor, sample: Tensor) -> Tensor:
    """Return the mean over samples of sum_e f_e P_e, from [T, E], [T, k] and [T] of all T tokens without padding."""
    import torch

    tokens = torch.unique_consecutive(sample, return_counts=True)[1]
    number = torch.repeat_interleave(torch.arange(len(tokens), device=sample.device), tokens)
    experts, length = probabilities.shape[1], tokens.unsqueeze(1)
    hits = torch.zeros_like(probabilities).scatter_(1, chosen, 1.0)
    empty = probabilities.new_zeros(len(tokens), experts)
    frequency = empty.index_add(0, number, hits) * experts / (chosen.shape[1] * length)
    mean_probability = empty.index_add(0, number, probabilities) / length
    return cast("Tensor", (frequency * mean_probability).sum(1).mean())
