"""Generation settings beside a model's weights: transformers refuses to write some that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fix_generation_config(model: PreTrainedModel) -> str | None:
    """Replace generation settings that contradict each other by plain ones; return the warning to show, if any.

    Some checkpoints are published with a temperature but without sampling: transformers reads such settings and refuses
    to write them. The tokens that begin, end and pad a text are kept, if they have an id.
    """
    from transformers import GenerationConfig

    settings = model.generation_config
    if settings is None:
        return None
    try:
        settings.validate(strict=True)
    except ValueError as error:
        ids = {key: getattr(settings, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        kept = {key: value for key, value in ids.items() if not (isinstance(value, int) and value < 0)}
        model.generation_config = GenerationConfig(**kept)  # type: ignore[no-untyped-call]
        return (
            "the base model's generation settings contradict each other, so the result is written without "
            f"them: {error}"
        )
    return None
