"""The language model within a composite one, of which training on text reaches nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def find_decoder(model: PreTrainedModel) -> nn.Module | None:
    """Return the part of a causal language model that ends in the last hidden states, None if it is not known.

    transformers looks for it under usual names; elsewhere it is the only model within the model.
    """
    from transformers import PreTrainedModel

    found: nn.Module = model.get_decoder()  # type: ignore[no-untyped-call]
    if found is not model:
        return found
    inner = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    return inner[0] if len(inner) == 1 else None


def text_part(model: PreTrainedModel) -> set[nn.Module]:
    """Return all modules of the decoder and of the head if the model is composite, and otherwise all of the model's.

    The others of a composite model read images or sound, before the decoder.
    """
    found = find_decoder(model)
    if model.config.get_text_config() is model.config or found is None:
        return set(model.modules())
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # with what a tuning put around it
    return {*found.modules(), *(head.modules() if head is not None else ())}


def freeze_other_parts(model: PreTrainedModel) -> str:
    """Stop the training of what text does not reach; return a note for the plan, "" if nothing did.

    A parameter without a gradient still costs the memory of its optimizer, and weight decay may change it.
    """
    reached = {id(parameter) for module in text_part(model) for parameter in module.parameters(recurse=False)}
    others = [each for each in model.parameters() if each.requires_grad and id(each) not in reached]
    for parameter in others:
        parameter.requires_grad_(False)
    if not others:
        return ""
    return (
        f"{sum(parameter.numel() for parameter in others):,} parameters of {type(model).__name__} are no part of its "
        "language model: text does not reach them, and they stay as they are"
    )
