"""DeepSeek-V2 and V3: latent attention, shared experts and routed ones; DeepSeek-Coder 1 is a Llama."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import mftkit
from mftkit_plugins.models.formats import DEEPSEEK
from mftkit_plugins.models.tiny import EXPERTS

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

_TINY = {
    **EXPERTS, "num_key_value_heads": 4, "n_routed_experts": 4, "n_shared_experts": 1, "moe_intermediate_size": 64,
    "first_k_dense_replace": 1, "kv_lora_rank": 64, "q_lora_rank": 64, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16,
    "v_head_dim": 16,
}  # fmt: skip


class DeepSeek(mftkit.MoEAdapter):
    """``DeepseekV2ForCausalLM`` (V2, V2.5, Coder-V2) and ``DeepseekV3ForCausalLM`` (V3, R1).

    The classes in transformers have no router loss; here is that of the papers, for each sample by itself.
    """

    model_types = ("deepseek_v2", "deepseek_v3")
    instruct_formats = (DEEPSEEK,)
    pad_tokens = ("<｜▁pad▁｜>",)
    coefficient_key = "aux_loss_alpha"
    usual_coefficient = 0.0001
    """The paper's of V3."""
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
            note="the bias that balances its router stays as it is; its small loss is the paper's "
            "(arXiv 2412.19437, Eq. 17)",
        ),
    )

    def balance_loss(self, model: PreTrainedModel, batch: mftkit.Batch, routed: Any) -> Tensor | None:
        """Sum over layers of the mean over samples of sum_e f_e P_e (DeepSeek-V2, Eq. 23; V3, Eq. 17-20).

        f_e is E / (k T) times the number of the sample's T tokens that went to expert e of E, P_e the mean of their
        shares for it: of the softmax, or in V3 of sigmoids divided by their sum.
        """
        import torch

        real, sample = _samples(batch)
        if batch.real_tokens == 0:
            return torch.stack([logits.sum() for logits in routed.logits]).sum() * 0.0
        total = routed.logits[0].new_zeros(())
        for logits, chosen in zip(routed.logits, routed.chosen, strict=True):
            if model.config.model_type == "deepseek_v2":
                shares = logits.float().softmax(-1)
            else:
                shares = logits.float().sigmoid()
                shares = shares / shares.sum(-1, keepdim=True)
            total = total + _balance(shares[real], chosen[real], sample[real])
        return cast("Tensor", total)

    def notes(self, model: PreTrainedModel) -> list[str]:
        """That V3's bias is not moved."""
        if model.config.model_type == "deepseek_v3":
            return [
                "the experts of DeepSeek-V3 are balanced by a bias (e_score_correction_bias), which stays as the "
                "checkpoint has it; the loss of its router (Eq. 17 of its paper) has the coefficient "
                f"{self.coefficient(model):g}"
            ]
        return super().notes(model)


def _samples(batch: mftkit.Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """[B * S]: which positions are no padding, and the sample of each, numbered along the rows."""
    import torch

    ids = batch.input_ids
    places = batch.position_ids
    if places is None:
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    sample = (places == 0).flatten().cumsum(0) - 1
    real = torch.ones_like(ids, dtype=torch.bool) if batch.token_mask is None else batch.token_mask
    return real.flatten(), sample


def _balance(shares: Tensor, chosen: Tensor, sample: Tensor) -> Tensor:
    """The mean over samples of sum_e f_e P_e; [T, E], [T, k] and [T] of all their tokens."""
    import torch

    tokens = torch.unique_consecutive(sample, return_counts=True)[1]
    number = torch.repeat_interleave(torch.arange(len(tokens), device=sample.device), tokens)
    experts, length = shares.shape[1], tokens.unsqueeze(1)
    hits = torch.zeros_like(shares).scatter_(1, chosen, 1.0)
    empty = shares.new_zeros(len(tokens), experts)
    frequency = empty.index_add(0, number, hits) * experts / (chosen.shape[1] * length)
    mean_share = empty.index_add(0, number, shares) / length
    return cast("Tensor", (frequency * mean_share).sum(1).mean())
