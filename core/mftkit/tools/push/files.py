"""The files of a result that go to the hub."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.formatting import escaped
from mftkit.base.json_files import read_json_object
from mftkit.base.reasons import reason
from mftkit.models.config import ADAPTER_CONFIG
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter

UNSAFE = (
    "*.bin",
    "*.pt",
    "*.pth",
    "*.pkl",
    "*.pickle",
    "*.ckpt",
    "*.joblib",
    "*.npy",
    "*.npz",
    "*.h5",
    "*.msgpack",
)
"""Weights, or whatever else may be a pickle, which runs code when it is loaded."""
PUSHED = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.txt",
    "*.model",
    "*.tiktoken",
    "*.py",
    "*.md",
    "LICENSE*",
    "NOTICE*",
)
_NAMES = ("_name_or_path", "name_or_path")
"""Keys of configs under which a library may have kept where a model was loaded from."""


def files_to_push(place: Path, reporter: Reporter) -> list[Path]:
    """The files of the result in ``place``; others are reported.

    Raises:
        MftError: weights are in another format than safetensors, or there are none.
    """
    files = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
    unsafe = [path.name for path in files if any(fnmatch(path.name, pattern) for pattern in UNSAFE)]
    if unsafe:
        raise MftError(
            f"RUN: {place} holds files that may run code when they are loaded: {', '.join(unsafe)}. Only safetensors "
            "are pushed: load the model and save it again with save_pretrained, or remove these files."
        )
    named = [path for path in files if path.name.isprintable()]
    pushed = [path for path in named if any(fnmatch(path.name, pattern) for pattern in PUSHED)]
    for path in pushed:
        if not path.resolve().is_relative_to(place.resolve()):
            raise MftError(
                f"RUN: {path} is a link to {path.resolve()}, outside of the result, which would be made public; "
                "put a copy in its place, or remove it."
            )
    if not any(path.suffix == ".safetensors" for path in pushed):
        raise MftError(f"RUN: {place} holds no weights: it has no *.safetensors file.")
    left = sorted(
        escaped(path.name) for path in place.iterdir() if path not in pushed and not path.name.startswith(".")
    )
    if left:
        reporter.warn(f"not pushed, because they are no part of a model: {', '.join(left)}")
    return pushed


def public_config(file: Path, base: str | None) -> bytes | None:
    """A config without paths of this machine, and with the ``base`` of an adapter; None to push it as it is."""
    if file.suffix != ".json" or "config" not in file.name:
        return None
    try:
        config = read_json_object(file)
    except (OSError, ValueError) as error:
        raise MftError(
            f"RUN: {file} cannot be read: {reason(error)}; write the result again, or remove the file."
        ) from error
    public: JsonObject = {
        key: value for key, value in config.items() if not (key in _NAMES and _is_local(value))
    }
    if file.name == ADAPTER_CONFIG and base is not None:
        public["base_model_name_or_path"] = base
    if public == config:
        return None
    return (json.dumps(public, indent=2, ensure_ascii=False) + "\n").encode()


def _is_local(value: object) -> bool:
    return isinstance(value, str) and Path(value).expanduser().is_absolute()
