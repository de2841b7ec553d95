"""The config of a checkpoint as a dict: adapters are selected by it."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mftkit.base.formatting import shortened
from mftkit.base.json_files import read_json_object
from mftkit.base.reasons import reason
from mftkit.base.regular_files import check_regular_files
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

    from mftkit.base.json_types import JsonObject

ADAPTER_CONFIG = "adapter_config.json"
LARGEST = {
    "layers": 2_000,
    "heads": 100_000,
    "experts": 100_000,
    "n_layer": 2_000,
    "n_head": 100_000,
    "hidden_size": 10_000_000,
    "hidden_dim": 10_000_000,
    "n_embd": 10_000_000,
    "d_model": 10_000_000,
    "head_dim": 1_000_000,
    "intermediate_size": 100_000_000,
    "n_inner": 100_000_000,
    "vocab_size": 100_000_000,
    "max_position": 2**40,
}
"""Limits of a config's sizes by parts of their keys: far more than any model has."""
ALWAYS_KNOWN = {"bos_token_id", "eos_token_id", "pad_token_id", "rope_theta", "rope_scaling", "torch_dtype"}
"""Keys that transformers reads for every family, or under an older name, and that no config class declares."""
TEXT_PART = "text_config"
"""The key of a composite config with the config of its language model."""


def read_config(path: str, trust_remote_code: bool = False, *, revision: str | None = None) -> JsonObject:
    """Return ``config.json`` of a directory or a hub id, at a ``revision``, unchanged.

    Raises MftError for a directory that is missing or has no config, and for an id that the hub does not serve.
    """
    from transformers import PreTrainedConfig

    directory = Path(path).expanduser()
    if directory.is_dir():
        _check_directory(directory)
    elif directory.exists():
        raise MftError(f"model.path: {path} is a file; give the directory that contains config.json")
    elif not is_hub_id(path):
        raise MftError(f"model.path: there is no directory {path}")
    source = str(directory) if directory.is_dir() else path
    at = {} if revision is None else {"revision": revision}
    try:
        config, _ = PreTrainedConfig.get_config_dict(source, trust_remote_code=trust_remote_code, **at)
    # The others where one from the hub is JSON, but not an object, or nested too deeply.
    except (OSError, TypeError, ValueError, RecursionError) as error:
        where = f" at revision {revision}" if revision else ""
        raise MftError(f"model.path: {path}{where} has no readable config: {reason(error)}") from error
    if not config:
        raise MftError(f"model.path: config.json of {path} is empty")
    check_sizes(config, f"model.path: {source}/config.json: ")
    return dict(config)


def check_sizes(config: JsonObject, where: str = "model.config.") -> None:
    """Raise MftError for a size, also of a part of a model, that would take hours or all memory to lay out.

    Args:
        config: as config.json has it.
        where: what stands before the key in the message.
    """
    for key, value in config.items():
        if isinstance(value, dict):
            check_sizes(value, f"{where}{key}.")
        most = next((limit for name, limit in LARGEST.items() if name in key), None)
        if most is not None and isinstance(value, int) and value > most:
            raise MftError(
                f"{where}{key}: should be at most {most:,}, as in every model (given: {shortened(str(value), 40)})"
            )


def is_hub_id(path: str) -> bool:
    """Return True if a path that is not a local directory may be a hub id: ``name`` or ``organization/name``."""
    return not path.startswith((".", "/", "~")) and path.count("/") <= 1 and "\\" not in path


def build_config(values: JsonObject, given_by_hand: bool = True) -> PreTrainedConfig:
    """Build the config of a randomly initialized model from the spec's ``model.config`` or a checkpoint's config.

    transformers keeps keys that the family does not know and ignores them. Such a key raises MftError if a person
    wrote it; checkpoints are full of them.
    """
    from transformers import CONFIG_MAPPING

    check_sizes(values)
    model_type = str(values.get("model_type"))
    if model_type not in CONFIG_MAPPING:
        near = nearest(model_type, CONFIG_MAPPING)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise MftError(f"model.config.model_type: transformers has no model type {model_type!r}{hint}")
    config_class = CONFIG_MAPPING[model_type]
    faults = _unknown_keys(config_class, values) if given_by_hand else []
    if faults:
        raise MftError("\n".join(faults))
    try:
        return config_class(**{key: value for key, value in values.items() if key != "model_type"})
    except Exception as error:  # whatever a family's own validation raises is about the values given
        raise MftError(f"model.config: {reason(error)}") from error


def with_text_keys(config: JsonObject, text_keys: JsonObject) -> JsonObject:
    """Return a config with keys of a language model (``vocab_size``, token ids) where its type reads them.

    A composite type, for text and images, reads them in its ``text_config``. What the config has itself stays.
    """
    if not _is_composite(config):
        return {**text_keys, **config}
    inner = config.get(TEXT_PART)
    if inner is not None and not isinstance(inner, dict):
        return config  # reported where the config is built
    return {**config, TEXT_PART: {**text_keys, **(inner or {})}}


def text_values(config: JsonObject) -> JsonObject:
    """Return the part of a config that has the keys of the language model: of a composite type its ``text_config``."""
    inner = config.get(TEXT_PART) if _is_composite(config) else config
    return inner if isinstance(inner, dict) else {}


def _is_composite(config: JsonObject) -> bool:
    from transformers import CONFIG_MAPPING

    model_type = str(config.get("model_type"))
    if model_type not in CONFIG_MAPPING:
        return False
    config_class = CONFIG_MAPPING[model_type]
    return TEXT_PART in config_class.sub_configs and "vocab_size" not in known_keys(config_class)


def dtype_of(config: JsonObject) -> torch.dtype:
    """Return the dtype that a checkpoint's config names, float32 if it names none."""
    import torch

    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    dtype = getattr(torch, str(name).removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise MftError(f"config.json: dtype: {name!r} is not a floating-point dtype of torch")
    return dtype


def checkpoint_dtype(config: JsonObject, path: str) -> torch.dtype:
    """Return the dtype of a checkpoint: the config's, or for families whose configs name none, that of the weights."""
    if config.get("dtype") or config.get("torch_dtype"):
        return dtype_of(config)
    return stored_dtype(path) or dtype_of(config)


def stored_dtype(path: str) -> torch.dtype | None:
    """Return the floating-point dtype of most tensors in a directory's weight files, None if there are none."""
    counts: Counter[torch.dtype] = Counter()
    try:
        for file in sorted(Path(path).glob("model*.safetensors")):
            counts.update(_safetensors_dtypes(file))
        for file in [] if counts else sorted(Path(path).glob("pytorch_model*.bin")):
            counts.update(_torch_dtypes(file))
    except Exception:  # a corrupt file is reported when it is loaded
        return None
    return next((dtype for dtype, _ in counts.most_common() if dtype.is_floating_point), None)


def _safetensors_dtypes(file: Path) -> list[torch.dtype]:
    import torch
    from safetensors import safe_open

    names = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
    with safe_open(file, "pt") as weights:
        stored = [str(weights.get_slice(name).get_dtype()) for name in weights.keys()]  # noqa: SIM118
    return [names[name] for name in stored if name in names]


def _torch_dtypes(file: Path) -> list[torch.dtype]:
    import torch

    weights = torch.load(file, map_location="meta", weights_only=True)
    return [value.dtype for value in weights.values() if isinstance(value, torch.Tensor)]


def _check_directory(directory: Path) -> None:
    check_regular_files(directory, "model.path")
    if (directory / "config.json").is_file():
        try:
            read_json_object(directory / "config.json")
        except (OSError, ValueError) as error:
            raise MftError(
                f"model.path: {directory} has no readable config.json: {reason(error)}; download it again"
            ) from error
        return
    if (directory / ADAPTER_CONFIG).is_file():
        raise MftError(
            f"model.path: {directory} holds a PEFT adapter, not a model: "
            "merge it into its base first (mft merge), and give the merged directory"
        )
    raise MftError(f"model.path: {directory} has no config.json, so it is not a transformers checkpoint")


def known_keys(config_class: type[PreTrainedConfig]) -> set[str]:
    """Return the keys that a family's config declares."""
    if is_dataclass(config_class):
        names = {field.name for field in fields(config_class)}
    else:  # transformers before 5.4
        names = {name for cls in config_class.__mro__ for name in inspect.signature(cls.__init__).parameters}
    return names | set(config_class.attribute_map) | ALWAYS_KNOWN


def _unknown_keys(config_class: type[PreTrainedConfig], values: JsonObject, place: str = "") -> list[str]:
    """Return a message for each key that nothing reads, also within the configs of parts."""
    known = known_keys(config_class) | {"model_type"}
    unknown = [key for key in values if key not in known]
    if unknown:
        read = _keys_read_by_code(cast("type", config_class))
        unknown = [key for key in unknown if key not in read]
    faults = [_unknown_key(key, known, values, place) for key in unknown]
    for key in config_class.sub_configs:
        part = values.get(key)
        if isinstance(part, dict) and (part_class := _part_class(config_class, key, part)):
            faults += _unknown_keys(part_class, part, f"{place}{key}.")
    return faults


def _part_class(
    config_class: type[PreTrainedConfig], key: str, part: JsonObject
) -> type[PreTrainedConfig] | None:
    """The class of a part's config, None if it is that of any model type, and none is given."""
    from transformers import CONFIG_MAPPING, AutoConfig

    declared = config_class.sub_configs[key]
    if declared is not AutoConfig:
        return cast("type[PreTrainedConfig]", declared)
    model_type = str(part.get("model_type"))
    if model_type not in CONFIG_MAPPING:
        return None
    return CONFIG_MAPPING[model_type]


def _unknown_key(key: str, known: set[str], values: JsonObject, place: str) -> str:
    near = nearest(key, sorted(known))
    hint = f"; did you mean {near[0]}?" if near else ""
    if not place and not near and _is_composite(values):
        hint = f"; keys of the language model belong to {TEXT_PART}"
    return f"model.config.{place}{key}: the config of this model type has no such key{hint}"


@cache
def _keys_read_by_code(config_class: type) -> frozenset[str]:
    """Return the keys that a family's code in transformers reads though its config class does not declare them.

    For example a ``head_dim`` other than the width divided by the heads, or a name that older checkpoints use. The
    class keeps each key it is given, and the code asks for it: ``getattr(config, "head_dim", ...)``,
    ``kwargs.pop("n_embed")``.
    """
    config_file = Path(inspect.getfile(config_class))
    found: set[str] = set()
    for file in (config_file, *sorted(config_file.parent.glob("modeling_*.py"))):
        calls = (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call))
        found.update(key for key in map(_key_asked_for, calls) if key)
    return frozenset(found)


def _key_asked_for(call: ast.Call) -> str | None:
    """The key in ``getattr(config, key)``, ``hasattr(config, key)``, ``kwargs.get(key)`` and the like."""
    match call:
        case ast.Call(
            func=ast.Name(id="getattr" | "hasattr"),
            args=[ast.Name(id=name) | ast.Attribute(attr=name), ast.Constant(value=str(key)), *_],
        ) if name.endswith("config"):
            return key
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="kwargs"), attr="get" | "pop" | "setdefault"),
            args=[ast.Constant(value=str(key)), *_],
        ):
            return key
    return None
