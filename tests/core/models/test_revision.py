"""``model.revision``: config, weights and tokenizer of one commit of a repository on the hub."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import mftkit
from mftkit.interfaces.model import LoadRequest
from mftkit.models.result import find_result
from small_runs import rows, small_spec, write_rows
from tiny_chat_model import tiny_chat_model

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with two commits of one model, of which v1 has all weights doubled in one layer."""
    import huggingface_hub.constants

    repository = tmp_path / "hub" / "models--org--tiny"
    for revision, commit in COMMITS.items():
        snapshot = repository / "snapshots" / commit
        model = tiny_chat_model(snapshot)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
        if revision == "v1":
            config = json.loads((model / "tokenizer_config.json").read_text())
            (model / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 77}))
            from transformers import AutoModelForCausalLM

            changed = AutoModelForCausalLM.from_pretrained(model)
            with torch.no_grad():
                changed.lm_head.weight.mul_(2)
            changed.save_pretrained(model)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository


def test_config_weights_and_tokenizer_are_those_of_the_revision(hub: Path, tmp_path: Path) -> None:
    for revision, length in (("", None), ("@v1", 77)):
        model, tokenizer = mftkit.load_model(f"org/tiny{revision}")
        plain, _ = mftkit.load_model(hub / "snapshots" / COMMITS[revision[1:] or "main"])
        assert torch.equal(model.lm_head.weight, plain.lm_head.weight)
        assert tokenizer is not None
        assert length is None or tokenizer.model_max_length == length
    with pytest.raises(mftkit.MftError, match="org/tiny at revision v9 has no readable config"):
        mftkit.load_model("org/tiny@v9")


def test_a_run_records_it_and_its_adapter_names_it(hub: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 12))
    tasks = [{"name": "big", "train": ["data/big.jsonl"], "valid": 0.2}]
    training = {"max_steps": 1, "checkpoint_every": 1, "warmup": 0}
    spec = small_spec(
        model={"path": "org/tiny", "revision": "v1"},
        tuning={"method": "lora", "rank": 2},
        tasks=tasks,
        training=training,
    )
    assert mftkit.run(mftkit.load_spec(spec, directory=tmp_path)).reason == "finished"
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())["revision"]
    assert recorded == {"path": "org/tiny", "revision": "v1", "commit": COMMITS["v1"]}
    result = find_result(tmp_path / "run")
    assert (result.base, result.base_revision) == ("org/tiny", "v1")
    model, _ = mftkit.load_model(tmp_path / "run")
    plain, _ = mftkit.load_model("org/tiny@v1")
    assert torch.equal(model.get_base_model().lm_head.weight, plain.lm_head.weight)  # type: ignore[operator]
    shutil.rmtree(tmp_path / "run" / "model")
    again, _ = mftkit.load_model(f"{tmp_path / 'run'}@1")
    assert torch.equal(again.get_base_model().lm_head.weight, plain.lm_head.weight)  # type: ignore[operator]


def test_adapters_that_know_no_revision_pass_it_on() -> None:
    request = LoadRequest("org/tiny", {}, torch.float32, "auto", revision="v1")
    assert request.load_options == {"revision": "v1"}
    outline = LoadRequest("org/tiny", {}, torch.float32, "auto", "random", load_options=request.load_options)
    assert outline.load_options == {}
