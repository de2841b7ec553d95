"""Loading a model with its tokenizer, whole or not at all."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mftkit.base.reasons import reason
from mftkit.models.config import build_config
from mftkit.models.corrupt_files import damaged_files
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from transformers import PreTrainedConfig, PreTrainedModel

    from mftkit.interfaces.model import LoadRequest


def pretrained(request: LoadRequest) -> PreTrainedModel:
    """Transformers' causal language model from a checkpoint, every weight of it found and used."""
    from transformers import AutoModelForCausalLM

    check_code(request.path, request.config, request.trust_remote_code)
    return whole(request, AutoModelForCausalLM, trust_remote_code=request.trust_remote_code)


def whole(request: LoadRequest, model_class: Any, **options: Any) -> PreTrainedModel:
    """What ``model_class.from_pretrained`` makes of a checkpoint, every weight of it found and used.

    A missing, unused or misshapen weight is refused by name: transformers would put random numbers in its
    place, or drop it, and go on.
    """
    model, info = _called(
        request,
        model_class.from_pretrained,
        request.path,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # so that they are named, below
        **options,
        **request.load_options,
    )
    shapes = [
        f"{name} ({tuple(given)} for {tuple(wanted)})" for name, given, wanted in info["mismatched_keys"]
    ]
    _refuse(request, "lacks weights that the model needs", info["missing_keys"])
    _refuse(request, "has weights that the model has no place for", info["unexpected_keys"])
    _refuse(request, "has weights of a shape that config.json does not give", shapes)
    _refuse(request, "cannot be loaded", info["error_msgs"])
    return model  # type: ignore[no-any-return]


def from_random_init(request: LoadRequest) -> PreTrainedModel:
    """Transformers' causal language model of ``request.config``, from torch's random state."""
    return from_config(request, build_config(request.config, given_by_hand=request.path is None))


def from_config(request: LoadRequest, config: PreTrainedConfig) -> PreTrainedModel:
    """Transformers' causal language model of a config, from torch's random state."""
    from transformers import AutoModelForCausalLM

    if request.load_options:
        options = ", ".join(sorted(request.load_options))
        raise MftError(
            f"model.init: a random start cannot be loaded with {options}: save it as a checkpoint first"
        )
    return _called(request, AutoModelForCausalLM.from_config, config)  # type: ignore[no-any-return]


def _called(request: LoadRequest, load: Any, *arguments: Any, **options: Any) -> Any:
    """What transformers loads; what it cannot load, for whatever reason, is the checkpoint's fault."""
    import torch

    if request.attention != "auto":
        options["attn_implementation"] = request.attention
    try:
        with _without_report():
            return load(*arguments, dtype=request.dtype, **options)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise MftError(_explained(request, error)) from error


def check_code(path: str | None, config: dict[str, Any], trust: bool) -> None:
    """Raises MftError for a checkpoint that can be loaded by code of its own alone, where that is not trusted."""
    from transformers import CONFIG_MAPPING

    if config.get("auto_map") and not trust and config.get("model_type") not in CONFIG_MAPPING:
        raise MftError(
            f"model.path: {path} is of a type that transformers does not know ({config.get('model_type')}), and brings "
            "code of its own, which is not run unasked: set model.trust_remote_code to true if you trust it, or "
            "install a plugin with an adapter for it"
        )


def _explained(request: LoadRequest, error: Exception) -> str:
    told = reason(error)
    where = f"model.path: {request.path}" if request.path else "model.config"
    if "attn_implementation" in str(error) or "FlashAttention" in str(error):
        return f"model.attention: {request.attention} cannot be used here: {told}"
    damaged = damaged_files(request.path)
    if damaged:
        return f"{where} cannot be loaded: {' and '.join(damaged)}: cut off or damaged; fetch it again"
    if "Weights only load failed" in str(error):
        return f"{where} cannot be loaded: its PyTorch file holds more than tensors, which is not run; use safetensors"
    return f"{where} cannot be loaded: {told}"


def _refuse(request: LoadRequest, what: str, names: Iterable[str]) -> None:
    faults = sorted(names)
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise MftError(f"model.path: {request.path} {what}: {', '.join(faults[:5])}{more}")


@contextmanager
def _without_report() -> Iterator[None]:
    """Without transformers' own table of the weights that do not fit: they are told once, as an error."""
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_report)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()
