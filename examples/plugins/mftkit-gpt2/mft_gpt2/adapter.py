"""What mftkit needs to know about GPT-2: where its weights, its hidden states and its output head are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase


class GPT2Adapter(mftkit.ModelAdapter):
    """GPT-2: learned positions, a head tied to the embeddings, and its own type of linear layer (Conv1D)."""

    isolating_attentions = ("sdpa", "eager")

    def matches(self, config: dict[str, Any]) -> int:
        """Return 3 for exactly this family."""
        return 3 if config.get("model_type") == "gpt2" else 0

    def load(self, request: mftkit.LoadRequest) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase | None]:
        """Load the model from its checkpoint, or initialize it randomly with the config of the spec."""
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
            raise mftkit.MftError(f"model.path: {request.path} lacks GPT-2 weights: {missing}")
        return model, self._tokenizer(request)

    def _tokenizer(self, request: mftkit.LoadRequest) -> PreTrainedTokenizerBase | None:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(request.path)
        except (OSError, ValueError):
            return None
        # transformers returns an empty tokenizer if there is none
        return tokenizer if len(tokenizer) > 1 else None

    def lora_targets(self, model: GPT2LMHeadModel) -> list[str]:  # noqa: ARG002
        """Return attention and feed-forward layers; they are Conv1D layers, which peft supports."""
        return ["c_attn", "c_proj", "c_fc"]

    def outputs(self, model: GPT2LMHeadModel, batch: mftkit.Batch) -> Any:
        """Run only the decoder, without a cache: with one, position ids would not isolate packed samples."""
        positions = model.config.n_positions
        if batch.input_ids.shape[1] > positions:
            width = batch.input_ids.shape[1]
            raise mftkit.MftError(
                f"max_length: rows have {width} tokens, but this GPT-2 has only {positions} positions"
            )
        return model.transformer(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)

    def head(self, model: GPT2LMHeadModel) -> mftkit.Head:
        """Return the head, which is tied to the token embeddings and has no bias."""
        return mftkit.Head(weight=model.lm_head.weight)
