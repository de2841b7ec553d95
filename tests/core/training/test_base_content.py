"""A base model is recognised by its config and samples of its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mftkit.training.base_content import BLOCK, base_content


def checkpoint(path: Path, weights: bytes, **config: str) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_equal_wherever_it_lies_and_whatever_wrote_it(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one", b"1" * 99, transformers_version="5.0")
    other = checkpoint(tmp_path / "other", b"1" * 99, transformers_version="5.1", _name_or_path="there")
    (other / "tokenizer.json").touch()
    assert base_content(str(one)) == base_content(str(other)) is not None


@pytest.mark.parametrize("place", [0, BLOCK * 40, BLOCK * 80 - 1])
def test_other_weights_and_another_config_are_another_base(place: int, tmp_path: Path) -> None:
    weights = bytearray(BLOCK * 80)
    one = base_content(str(checkpoint(tmp_path / "one", bytes(weights))))
    weights[place] = 1
    assert base_content(str(checkpoint(tmp_path / "two", bytes(weights)))) != one
    assert base_content(str(checkpoint(tmp_path / "three", bytes(len(weights)), hidden_act="relu"))) != one


def test_no_base(tmp_path: Path) -> None:
    assert base_content(None) is None
    assert base_content(str(tmp_path)) is None
