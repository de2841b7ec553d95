"""Training an adapter further: what the run's tuning has made gets the weights of the one in ``model.start_from``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.runs.reference_loading import CheckpointSource, ResultSource
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.tuning import Tuning
    from mftkit.runs.reference_loading import Source

NOT_COMPARED = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "inference_mode",
        "init_lora_weights", "lora_dropout", "lora_ga_config", "loftq_config", "megatron_config",
        "megatron_core", "peft_version", "revision", "runtime_config", "target_modules",
        "task_type", "use_qalora", "qalora_group_size", "exclude_modules", "layers_pattern",
        "layers_to_transform",
    }
)  # fmt: skip
"""Fields of peft's configs that do not change what a trained adapter computes, or that its tensors show."""
NOT_COMPARED_OPTIONS = frozenset({"dropout", "targets"})
"""Options of a run's tuning for which the same is true."""


def continue_adapter(
    source: Source, tuning: Tuning, tuned: nn.Module, options: JsonObject, fill: bool
) -> None:
    """Check that a new adapter is like the one to train further, and give it that one's weights.

    Args:
        source: the adapter to train further.
        tuning: the run's.
        tuned: what it made of the base.
        options: the tuning's options.
        fill: False for an outline, which has no values.

    Raises:
        MftError: they differ; the message names the fields, and both ways to use the adapter.
    """
    if isinstance(source, CheckpointSource):
        _continue_checkpoint(source, tuning, tuned, options, fill)
    elif isinstance(source, ResultSource):
        _continue_peft(source, tuned, fill)


def _continue_checkpoint(
    source: CheckpointSource, tuning: Tuning, tuned: nn.Module, options: JsonObject, fill: bool
) -> None:
    before = source.spec.tuning
    if not (isinstance(tuning, type(source.tuning)) or isinstance(source.tuning, type(tuning))):
        raise _different(source, [f"the tuning is {before.method}"])
    state, own = source.state(), tuning.state_dict(tuned)
    keys = (before.options.keys() | options.keys()) - NOT_COMPARED_OPTIONS
    faults = [
        f"{key} is {before.options.get(key)} (tuning.{key} is {options.get(key)})"
        for key in sorted(keys)
        if before.options.get(key) != options.get(key)
    ]
    faults += _tensor_faults(state, own)
    if faults:
        raise _different(source, faults)
    if fill:
        tuning.load_state_dict(tuned, state)


def _continue_peft(source: ResultSource, tuned: nn.Module, fill: bool) -> None:
    with without_peft_noise():
        from peft import PeftModel, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
    if not isinstance(tuned, PeftModel):
        raise _different(source, ["it is a PEFT adapter, and the tuning makes another kind"])
    try:
        state = load_peft_weights(str(source.result.path), device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        raise MftError(f"model.start_from: {source.place} cannot be loaded: {reason(error)}") from error
    faults = _config_faults(source.result.config or {}, tuned.active_peft_config.to_dict())
    faults += _tensor_faults(state, get_peft_model_state_dict(tuned, save_embedding_layers=False))
    if faults:
        raise _different(source, faults)
    if fill:
        set_peft_model_state_dict(tuned, state)


def _config_faults(given: JsonObject, own: JsonObject) -> list[str]:
    return [
        f"{key} is {_plain(given.get(key))} (of the tuning: {_plain(own[key])})"
        for key in sorted(own)
        if key not in NOT_COMPARED and key in given and _plain(given[key]) != _plain(own[key])
    ]


def _plain(value: object) -> object:
    """Return a field's value so that equal meanings are equal: nothing set is None, and sets are sorted lists."""
    if isinstance(value, set | frozenset | tuple):
        value = sorted(map(str, value))
    if isinstance(value, list):
        value = sorted(map(str, value))
    if hasattr(value, "value"):
        value = value.value
    return value or None


def _tensor_faults(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Return how the tensors differ: the modules that have an adapter, or their shapes."""
    before, now = given.keys() - own.keys(), own.keys() - given.keys()
    if before or now:
        modules = ", ".join(sorted({_module(name) for name in given}))
        return [
            f"its modules are {modules} (of the tuning: {', '.join(sorted({_module(name) for name in own}))})"
        ]
    wrong = [name for name in sorted(own) if own[name].shape != given[name].shape]
    if not wrong:
        return []
    shapes = f"{tuple(given[wrong[0]].shape)} (of the tuning: {tuple(own[wrong[0]].shape)})"
    return [f"the shape of {_module(wrong[0])} is {shapes}"]


def _module(name: str) -> str:
    """Return the last name of the module that has a tensor of an adapter."""
    parts = [part for part in name.split(".") if part not in ("weight", "bias", "default")]
    kept = [part for part in parts if not part.startswith(("lora_", "base_layer", "modules_to_save"))]
    return kept[-1] if kept else name


def _different(source: Source, faults: list[str]) -> MftError:
    return MftError(
        f"model.start_from: the adapter in {source.place} is not like the one that the tuning makes: "
        f"{'; '.join(faults)}. To train it further, set the tuning's options to those of the adapter; to merge it into "
        'its base and train a new adapter on the result, set model.start_adapter to "merge"'
    )
