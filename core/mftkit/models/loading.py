"""Load a model strictly: every weight is found and used, or nothing is loaded."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from traceback import walk_tb
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

from mftkit.base.reasons import reason
from mftkit.models.config import build_config
from mftkit.models.corrupt_files import corrupt_files
from mftkit.models.stray_adapter import NO_ADAPTER
from mftkit.models.weight_index import check_indexes
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import LoadRequest

Loaded = TypeVar("Loaded")


class LoadingInfo(TypedDict):
    """What transformers reports about the weights that it loaded."""

    missing_keys: set[str]
    unexpected_keys: set[str]
    mismatched_keys: set[tuple[str, tuple[int, ...], tuple[int, ...]]]
    """Name, shape in the checkpoint, shape in the model."""
    error_msgs: list[str]


def pretrained(request: LoadRequest) -> PreTrainedModel:
    """Load the causal language model of a checkpoint by transformers' automatic choice of the class, strictly."""
    from transformers import AutoModelForCausalLM

    check_code(request.path, request.config, request.trust_remote_code)
    return load_strict(request, AutoModelForCausalLM, trust_remote_code=request.trust_remote_code)


def load_strict(
    request: LoadRequest, model_class: type[PreTrainedModel | AutoModelForCausalLM], **options: object
) -> PreTrainedModel:
    """Return what ``model_class.from_pretrained`` makes of a checkpoint, every weight of it found and used.

    Missing, unused and misshapen weights raise MftError with their names: transformers would initialize them at random
    or drop them, with no more than a warning.
    """
    check_indexes(request.path)
    model, info = cast(
        "tuple[PreTrainedModel, LoadingInfo]",
        _call_transformers(
            request,
            model_class.from_pretrained,
            request.path,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that transformers lists them, for the error below
            **NO_ADAPTER,
            **options,
            **request.load_options,
        ),
    )
    shapes = [
        f"{name} ({tuple(given)} instead of {tuple(expected)})"
        for name, given, expected in info["mismatched_keys"]
    ]
    _reject(request, "lacks weights that the model needs", info["missing_keys"])
    _reject(request, "has weights that the model does not use", info["unexpected_keys"])
    _reject(request, "has weights whose shape does not follow from config.json", shapes)
    _reject(request, "cannot be loaded", info["error_msgs"])
    return model


def from_random_init(request: LoadRequest) -> PreTrainedModel:
    """Return transformers' causal language model of ``request.config``, initialized from torch's random state."""
    return from_config(request, build_config(request.config, given_by_hand=request.path is None))


def from_config(request: LoadRequest, config: PreTrainedConfig) -> PreTrainedModel:
    """Return transformers' causal language model of a config, initialized from torch's random state."""
    from transformers import AutoModelForCausalLM

    if request.load_options:
        options = ", ".join(sorted(request.load_options))
        raise MftError(
            f"model.init: a randomly initialized model cannot be loaded with {options}: save it as a checkpoint first"
        )
    model = _call_transformers(request, AutoModelForCausalLM.from_config, config)
    return cast("PreTrainedModel", model)


def _call_transformers(
    request: LoadRequest, load: Callable[..., Loaded], *arguments: object, **options: object
) -> Loaded:
    """Call a loading function of transformers; whatever it raises is about the checkpoint, hence MftError."""
    import torch

    if request.attention != "auto":
        options["attn_implementation"] = request.attention
    try:
        with _without_load_report():
            return load(*arguments, dtype=request.dtype, **options)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise MftError(_explain(request, error)) from error


def check_code(path: str | None, config: JsonObject, trust: bool) -> None:
    """Raise MftError for a checkpoint that only its own code can load, if that code is not trusted."""
    from transformers import CONFIG_MAPPING

    if config.get("auto_map") and not trust and config.get("model_type") not in CONFIG_MAPPING:
        raise MftError(
            f"model.path: {path}: transformers does not support model type {config.get('model_type')!r}, and "
            "running the checkpoint's own code is disabled; set model.trust_remote_code to true if you trust it, or "
            "install a plugin with an adapter for it"
        )


def _explain(request: LoadRequest, error: Exception) -> str:
    where = f"model.path: {request.path}" if request.path else "model.config"
    if "attn_implementation" in str(error) or "FlashAttention" in str(error):
        return f"model.attention: {request.attention} cannot be used here: {reason(error)}"
    files = corrupt_files(request.path)
    if files:
        verb, them = ("is", "it") if len(files) == 1 else ("are", "them")
        return f"{where} cannot be loaded: {' and '.join(files)} {verb} truncated or corrupt; download {them} again"
    if "Weights only load failed" in str(error):
        return (
            f"{where} cannot be loaded: its PyTorch file contains more than tensors, and code in it is not run; "
            "use a checkpoint in safetensors"
        )
    if names := _not_converted(error):
        return f"{where} cannot be loaded: weights whose number or shape does not follow from config.json: {names}"
    if "can't allocate memory" in str(error):
        sizes = "its config.json" if request.path else "the config"
        return f"{where} cannot be loaded: there is not enough memory for it; check the sizes in {sizes}"
    return f"{where} cannot be loaded: {reason(error)}"


def _not_converted(error: Exception) -> str:
    """The weights that transformers could not convert, which its error does not name."""
    if "conversion of the weights" not in str(error):
        return ""
    found = [frame.f_locals.get("loading_info") for frame, _ in walk_tb(error.__traceback__)]
    names = sorted({name for info in found for name in getattr(info, "conversion_errors", ())})
    return _listed(names)


def _reject(request: LoadRequest, fault: str, names: Iterable[str]) -> None:
    faulty = sorted(names)
    if faulty:
        raise MftError(f"model.path: {request.path} {fault}: {_listed(faulty)}")


def _listed(names: Sequence[str]) -> str:
    """The first of many names, for a message."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Suppress transformers' own table of the weights that do not fit: they are reported once, as an error."""
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_load_report)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_load_report)


def _is_no_load_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()
