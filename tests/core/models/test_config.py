from pathlib import Path

import pytest
from transformers import PreTrainedModel

from mftkit import MftError
from mftkit.models import read_config
from mftkit.models.config import build_config


def refused(path: Path | str) -> str:
    with pytest.raises(MftError) as caught:
        read_config(str(path))
    return str(caught.value)


def test_the_config_is_read_as_it_stands(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    config = read_config(str(checkpoint[0]))
    assert config["model_type"] == "llama"
    assert config["hidden_size"] == 32


def test_what_holds_no_config_is_reported(tmp_path: Path) -> None:
    assert f"there is no directory {tmp_path / 'none'}" in refused(tmp_path / "none")
    assert "has no config.json" in refused(tmp_path)
    file = tmp_path / "model.bin"
    file.touch()
    assert "is a file" in refused(file)


def test_a_config_that_is_not_json_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{broken")
    assert "has no readable config" in refused(tmp_path)


def test_an_adapter_in_place_of_a_model_is_reported(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds a PEFT adapter" in refused(tmp_path)


@pytest.mark.parametrize("path", ["nobody/no-such-model", "no-such-model"])
def test_an_id_that_the_hub_does_not_serve_is_reported_in_one_message(path: str) -> None:
    message = refused(path)
    assert message.startswith(f"model.path: {path} ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"hidden_size": 10**9}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"vocab_size": 10**12}, "vocab_size"),
        ({"text_config": {"num_local_experts": 10**30}}, "text_config.num_local_experts"),
    ],
)
def test_sizes_that_no_model_has_are_refused(config: dict[str, object], key: str) -> None:
    with pytest.raises(MftError, match=rf"model.config.{key}: should be at most"):
        build_config({"model_type": "llama", **config})


def test_a_config_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(MftError, match="has no readable config"):
        read_config(str(tmp_path))
