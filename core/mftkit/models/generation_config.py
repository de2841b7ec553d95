"""Generation settings beside a model's weights: transformers refuses to write what contradicts itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fix_generation_config(model: PreTrainedModel) -> str | None:
    """Put plain settings in place of a model's own where these contradict each other; what is to be told then.

    Checkpoints are published with a temperature and without sampling: transformers reads that, and will not
    write it. The tokens where texts begin, end and are padded stay.
    """
    from transformers import GenerationConfig

    settings = model.generation_config
    if settings is None:
        return None
    try:
        settings.validate(strict=True)
    except ValueError as error:
        kept = {key: getattr(settings, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        model.generation_config = GenerationConfig(**kept)  # type: ignore[no-untyped-call]
        return (
            f"the base's generation settings contradict each other, and what is written goes without: {error}"
        )
    return None
