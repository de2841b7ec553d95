"""What mftkit must know of GPT-2: where its weights, its hidden states and its output head are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase


class GPT2Adapter(mftkit.ModelAdapter):
    """GPT-2: learned positions, a head tied to the embeddings, and linear layers of its own kind (Conv1D)."""

    isolating_attentions = ("sdpa", "eager")

    def matches(self, config: dict[str, Any]) -> int:
        """Exactly this family."""
        return 3 if config.get("model_type") == "gpt2" else 0

    def load(self, request: mftkit.LoadRequest) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase | None]:
        """The model from its checkpoint, or from a random start with the config that the spec gives."""
        from transformers import GPT2Config, GPT2LMHeadModel

        options: dict[str, Any] = {"dtype": request.dtype}
        if request.attention != "auto":
            options["attn_implementation"] = request.attention
        if request.init == "random":
            config = GPT2Config(
                **{key: value for key, value in request.config.items() if key != "model_type"}
            )
            return GPT2LMHeadModel._from_config(config, **options), None
        model, loading = GPT2LMHeadModel.from_pretrained(
            request.path, output_loading_info=True, **options, **request.load_options
        )
        if loading["missing_keys"]:
            missing = ", ".join(sorted(loading["missing_keys"]))
            raise mftkit.MftError(f"model.path: {request.path} lacks weights of a GPT-2: {missing}")
        return model, self._tokenizer(request)

    def _tokenizer(self, request: mftkit.LoadRequest) -> PreTrainedTokenizerBase | None:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(request.path)
        except (OSError, ValueError):
            return None
        # transformers makes an empty tokenizer where there is none
        return tokenizer if len(tokenizer) > 1 else None

    def lora_targets(self, model: GPT2LMHeadModel) -> list[str]:
        """Attention and feed-forward; they are Conv1D layers, which peft knows."""
        return ["c_attn", "c_proj", "c_fc"]

    def outputs(self, model: GPT2LMHeadModel, batch: mftkit.Batch) -> Any:
        """The decoder alone. Without a cache: with one, position ids would not keep packed samples apart."""
        positions = model.config.n_positions
        if batch.input_ids.shape[1] > positions:
            width = batch.input_ids.shape[1]
            raise mftkit.MftError(
                f"max_length: rows of {width} tokens, and this GPT-2 has {positions} positions"
            )
        return model.transformer(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)

    def head(self, model: GPT2LMHeadModel) -> mftkit.Head:
        """Tied to the token embeddings; no bias."""
        return mftkit.Head(weight=model.lm_head.weight)
