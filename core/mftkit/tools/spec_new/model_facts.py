"""What a model's directory or id says about it, without torch: its size and its longest sequence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.models.config import is_hub_id
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_sequence_length")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
_BYTES = {"float32": 4, "float64": 8}
"""Bytes per weight; 2 in any other dtype."""
_SIZE_IN_NAME = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)
_FACTOR = {"b": 1e9, "m": 1e6}
CHARACTERS_PER_TOKEN = 3
"""Of source code, with the tokenizers of today: an estimate where the tokenizer is not at hand."""


@dataclass(frozen=True)
class ModelFacts:
    """A model as far as it is known before it is loaded."""

    path: str
    """As the user gave it."""
    is_local: bool
    parameters: float | None = None
    """Number of parameters, roughly; None: not known."""
    positions: int | None = None
    """Longest sequence that the model was made for, in tokens; None: not known."""


def model_facts(path: str) -> ModelFacts:
    """Look at a model. Raises MftError if it is neither a directory with a config.json nor a hub id."""
    directory = Path(path).expanduser()
    if not directory.is_dir():
        if directory.exists() or not is_hub_id(path):
            what = "is a file" if directory.exists() else "does not exist"
            raise MftError(
                f"--model: {path} {what}; give a directory with config.json, or a hub id such as org/name"
            )
        return ModelFacts(path, is_local=False, parameters=_size_in(path))
    try:
        config = read_json_object(directory / "config.json")
    except (OSError, ValueError) as error:
        raise MftError(
            f"--model: {path} has no readable config.json ({type(error).__name__}); give the directory of a "
            "transformers checkpoint, or a hub id"
        ) from None
    positions = next((config[key] for key in _POSITIONS if isinstance(config.get(key), int)), None)
    width = _BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 2)
    files = [file for file in directory.iterdir() if file.suffix in _WEIGHTS and file.is_file()]
    one_kind = [file for file in files if file.suffix == ".safetensors"] or files
    size = sum(file.stat().st_size for file in one_kind)
    return ModelFacts(path, True, size / width if size else _size_in(directory.name), positions)


def measure(model: ModelFacts) -> tuple[Callable[[str], int], bool]:
    """Return what counts the tokens of a text, and whether it is exact.

    It is the model's own tokenizer where that lies in the model's directory, otherwise an estimate from characters.
    """
    file = Path(model.path).expanduser() / "tokenizer.json"
    if model.is_local and file.is_file():
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception:  # a damaged tokenizer is reported by the run, which loads it
            return _estimate, False
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False)), True
    return _estimate, False


def _estimate(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _size_in(name: str) -> float | None:
    """Return the number of parameters that a name gives.

    >>> _size_in("org/coder-0.5B"), _size_in("org/model-135M-it"), _size_in("gpt2")
    (500000000.0, 135000000.0, None)
    """
    found = _SIZE_IN_NAME.search(name)
    return float(found[1]) * _FACTOR[found[2].lower()] if found else None
