"""An adapter that lies beside a whole model: transformers would attach it, here it is reported and left alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.models.config import ADAPTER_CONFIG
from mftkit_registry import MftWarning

if TYPE_CHECKING:
    from mftkit.reporting.reporter import Reporter

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""Names of the files of a whole model's weights."""
NO_ADAPTER = {"adapter_kwargs": {"subfolder": ".no-adapter"}}
"""Arguments for ``from_pretrained``: transformers looks for an adapter in a subdirectory that no checkpoint has.

Without them it attaches an adapter that it finds beside the weights, and then saves the adapter alone."""


def is_whole_model(directory: Path) -> bool:
    """Return True if a directory holds a config and weights, whatever else it holds."""
    has_weights = any(next(directory.glob(pattern), None) is not None for pattern in WEIGHTS)
    return has_weights and (directory / "config.json").is_file()


def is_adapter(directory: Path) -> bool:
    """Return True if a directory holds a PEFT adapter and no whole model."""
    return (directory / ADAPTER_CONFIG).is_file() and not is_whole_model(directory)


def has_stray_adapter(path: str | Path) -> bool:
    """Return True if a directory holds a whole model and, beside it, an adapter."""
    directory = Path(path).expanduser()
    return (directory / ADAPTER_CONFIG).is_file() and is_whole_model(directory)


def warn_stray_adapter(path: str | Path, reporter: Reporter | None = None) -> None:
    """Report an adapter beside the whole model that is loaded, to ``reporter`` or else as a Python warning."""
    if not has_stray_adapter(path):
        return
    message = (
        f"{Path(path).expanduser() / ADAPTER_CONFIG} is ignored: the directory holds a whole model, which is loaded "
        f"without the adapter beside it. {how_to_use(path)}"
    )
    if reporter is None:
        warnings.warn(message, MftWarning, stacklevel=3)
    else:
        reporter.warn(message)


def how_to_use(path: str | Path) -> str:
    """Return how an adapter that lies beside a whole model can be used."""
    return (
        "To use the adapter, move adapter_config.json and adapter_model.* to a directory of their own, merge them "
        f"into the model (mft merge THAT_DIRECTORY --output DIR, with {path} as base_model_name_or_path in "
        "adapter_config.json), and give the merged directory."
    )
