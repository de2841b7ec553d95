"""Configs of other toolkits become specs that validate; every key is accounted for exactly once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from commands import mft
from mftkit.spec import load_spec
from mftkit.tools.spec_import.importing import TOOLKITS, import_config, read
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.spec_import.importing import ImportedSpec

CONFIGS = Path(__file__).parent / "configs"
FILES = sorted(path for toolkit in TOOLKITS for path in (CONFIGS / toolkit).iterdir() if path.is_file())


def imported(name: str, tmp_path: Path, devices: int = 1) -> ImportedSpec:
    path = CONFIGS / name
    return import_config(path.parent.name, path, tmp_path / "spec.yaml", devices)


def content(name: str, tmp_path: Path, devices: int = 1) -> dict[str, Any]:
    return imported(name, tmp_path, devices).spec.content


def test_there_are_three_configs_of_each_toolkit() -> None:
    assert len(FILES) == 3 * len(TOOLKITS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_key_is_accounted_for_once_and_the_spec_validates(path: Path, tmp_path: Path) -> None:
    made = import_config(path.parent.name, path, tmp_path / "spec.yaml")
    groups = [made.translated, made.approximated, made.without_meaning]
    accounted = [key for group in groups for key in group if "[" not in key]
    assert sorted(accounted) == sorted(read(path))
    assert len(accounted) == len(set(accounted))
    (tmp_path / "spec.yaml").write_text(made.spec.as_yaml(), encoding="utf-8")
    (tmp_path / "spec.json").write_text(made.spec.as_json(), encoding="utf-8")
    if not any(what.startswith("model.path") for what in made.missing):
        assert load_spec(tmp_path / "spec.yaml").dump() == load_spec(tmp_path / "spec.json").dump()
    header = made.spec.as_yaml()
    assert all(key in header for key in [*made.approximated, *made.without_meaning])


def test_mftcoder(tmp_path: Path) -> None:
    made = imported("mftcoder/convergence.json", tmp_path)
    spec = made.spec.content
    assert spec["balancer"] == {
        "name": "coba",
        "options": {"warmup": 100, "window": 200, "temperature": 5, "every": 1, "samples": 8},
    }
    assert (spec["loss"], spec["tokenization"], spec["chat"]) == (
        "token-balanced", "dynamic-padding", {"format": "markers"},
    )  # fmt: skip
    assert [task["valid"] for task in spec["tasks"]] == [0.05, 0.05]
    assert spec["training"]["checkpoint_every"] == [100, "epoch"]
    assert made.without_meaning["my_key"] == "unknown to this importer"
    assert any("$MODEL" in what for what in made.missing)

    spec = content("mftcoder/full_weights.json", tmp_path)
    assert spec["tuning"] == "full"
    assert [task["weight"] for task in spec["tasks"]] == [2, 1]
    assert (spec["balancer"], spec["loss"]) == ("fixed", "sample-balanced")
    assert spec["tokenization"]["options"] == {"attention": "shared", "scope": "task"}
    assert (spec["training"]["batch_size"], spec["training"]["micro_batch_size"]) == (64, 2)
    assert spec["chat"]["markers"]["user"] == "### Instruction:\n"
    assert "early_stopping" not in spec["training"]

    made = imported("mftcoder/self_paced_texts.json", tmp_path)
    assert made.spec.content["tasks"][0]["format"] == "text"
    assert made.spec.content["tuning"]["targets"] == ["q_proj", "v_proj"]
    assert {"weighted_loss_mode", "quantization", "lr_scheduler_type"} <= made.approximated.keys()


def test_llamafactory(tmp_path: Path) -> None:
    made = imported("llamafactory/adapter.yaml", tmp_path, devices=4)
    spec = made.spec.content
    assert spec["training"]["batch_size"] == 32
    assert "1 x 8 x 4 devices = 32" in made.approximated["gradient_accumulation_steps"]
    assert spec["tuning"] == {"method": "lora", "rank": 8, "alpha": 16, "dropout": 0, "targets": "all-linear"}
    assert spec["tasks"][1] == {
        "name": "alpaca_en_demo",
        "train": {"dataset": "organization/alpaca"},
        "columns": {"talk": "messages"},
        "valid": 0.1,
    }
    assert "dataset_info[alpaca_en_demo].folder" in made.without_meaning
    assert any("identity.json" in what for what in made.missing)

    spec = content("llamafactory/full_packed.yaml", tmp_path)
    assert spec["mixing"] == {"proportions": {"code": 0.7, "identity": 0.3}}
    assert spec["tasks"][0]["columns"] == {"task": "instruction", "solution": "output", "setting": "system"}
    assert spec["tasks"][0]["format"] == {"name": "chat", "options": {"train": "last"}}
    assert spec["tokenization"]["options"] == {"attention": "isolated"}
    assert (spec["training"]["max_steps"], spec["training"]["min_learning_rate"]) == (300, 1e-6)

    spec = content("llamafactory/texts_4bit.yaml", tmp_path)
    assert spec["tuning"]["method"] == "qlora"
    assert spec["tuning"]["lora"] == {"use_rslora": True, "modules_to_save": ["embed_tokens", "lm_head"]}
    assert (spec["tasks"][0]["format"], spec["tasks"][0]["columns"]) == ("text", {"article": "text"})


def test_axolotl(tmp_path: Path) -> None:
    made = imported("axolotl/adapter.yml", tmp_path)
    spec = made.spec.content
    assert (spec["tokenization"], spec["loss"], spec["max_length"]) == ("pack", "mixed", 2048)
    assert spec["trackers"] == [{"name": "wandb", "options": {"project": "x"}}]
    assert "evals_per_epoch" in made.approximated
    assert spec["training"]["optimizer"] == "adamw-8bit"
    assert made.without_meaning["datasets[1].shards"] == "use a part of the data"

    spec = content("axolotl/full_texts.yaml", tmp_path)
    assert spec["tasks"][0]["columns"] == {"content": "text"}
    assert spec["tasks"][1]["columns"] == {"question": "instruction", "solution": "output"}
    assert spec["training"]["batch_size"] == 64
    assert (spec["training"]["scheduler"], spec["training"]["warmup"]) == ("constant", 0.1)

    made = imported("axolotl/conversations_4bit.yaml", tmp_path)
    spec = made.spec.content
    assert spec["tuning"]["targets"] == "all-linear"
    assert spec["chat"]["format"] == "template"
    assert spec["training"]["min_learning_rate"] == pytest.approx(2e-5)
    assert "datasets[0].roles_to_train" in made.approximated


def test_trl(tmp_path: Path) -> None:
    spec = content("trl/adapter.yaml", tmp_path)
    assert spec["tasks"][0]["valid"] == {"dataset": "trl-lib/Capybara", "split": "test"}
    assert (spec["tuning"]["rank"], spec["max_length"], spec["training"]["scheduler"]) == (32, 1024, "linear")

    paged = {"name": "paged-adamw", "options": {"bits": 8}}
    assert content("trl/texts_4bit.yaml", tmp_path)["training"]["optimizer"] == paged

    made = imported("trl/mixture_full.yaml", tmp_path)
    assert [task["name"] for task in made.spec.content["tasks"]] == ["talks", "json"]
    assert {"loss_type", "packing_strategy", "torch_dtype"} <= made.approximated.keys()
    assert {"env", "my_key", "dataset_name", "datasets[1].data_dir"} <= made.without_meaning.keys()

    spec = content("trl/texts_4bit.yaml", tmp_path)
    assert spec["tasks"][0]["format"] == "text"
    assert spec["tuning"]["lora"] == {"modules_to_save": ["lm_head"], "use_rslora": True}
    assert (spec["max_length"], spec["training"]["epochs"]) == (512, 0.5)


def test_what_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("stage: dpo\nmodel_name_or_path: organization/base\n")
    with pytest.raises(MftError, match="only supervised fine-tuning can be imported"):
        import_config("llamafactory", path, tmp_path / "spec.yaml")
    path.write_text("xxpo: dpo\n")
    with pytest.raises(MftError, match="xxpo: dpo: only supervised fine-tuning can be imported; a run"):
        import_config("mftcoder", path, tmp_path / "spec.yaml")
    for text in ("beta: 0.1", "loss_type: sigmoid"):
        path.write_text(f"dataset_name: a/b\n{text}\n")
        with pytest.raises(MftError, match="only supervised fine-tuning"):
            import_config("trl", path, tmp_path / "spec.yaml")
    path.write_text("a: [1\n")
    with pytest.raises(MftError, match=r"config\.yaml:\d+: not valid YAML"):
        import_config("trl", path, tmp_path / "spec.yaml")
    path.write_text("- 1\n")
    with pytest.raises(MftError, match="expected an object"):
        import_config("trl", path, tmp_path / "spec.yaml")
    with pytest.raises(MftError, match="unknown toolkit 'axolotle'.*did you mean axolotl"):
        import_config("axolotle", path, tmp_path / "spec.yaml")


def test_the_command_lists_what_it_did_and_overwrites_nothing(tmp_path: Path) -> None:
    shutil.copy(CONFIGS / "trl/adapter.yaml", tmp_path / "sft.yaml")
    done = mft("spec", "import", "trl", "sft.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sft-spec.yaml: written" in done.stdout
    assert "without meaning here (1):\n  push_to_hub: use mft push after the run" in done.stderr
    assert "translated with another meaning" in (tmp_path / "sft-spec.yaml").read_text().lower()
    again = mft("spec", "import", "trl", "sft.yaml", cwd=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr


@pytest.mark.parametrize(
    ("toolkit", "keys", "expected"),
    [
        ("trl", {"model_revision": "v2"}, {"revision": "v2"}),
        ("axolotl", {"revision_of_model": "v2"}, {"revision": "v2"}),
        (
            "axolotl",
            {"adapter": "lora", "lora_r": 8, "lora_model_dir": "org/adapter"},
            {"start_from": "org/adapter", "start_adapter": "continue"},
        ),
        (
            "llamafactory",
            {"model_revision": "v2", "finetuning_type": "lora", "adapter_name_or_path": "saves/a"},
            {"revision": "v2", "start_from": "saves/a", "start_adapter": "continue"},
        ),
        (
            "llamafactory",
            {
                "finetuning_type": "lora", "adapter_folder": "./saves", "adapter_name_or_path": "a,b",
                "create_new_adapter": True,
            },
            {"start_from": "saves/b", "start_adapter": "merge"},
        ),
        ("llamafactory", {"finetuning_type": "full", "create_new_adapter": False}, {}),
    ],
)  # fmt: skip
def test_revisions_and_adapters_to_start_from(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    toolkit: str,
    keys: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = "base_model" if toolkit == "axolotl" else "model_name_or_path"
    (tmp_path / "config.json").write_text(json.dumps({model: "org/base", **keys}))
    made = import_config(toolkit, tmp_path / "config.json", tmp_path / "spec.yaml")
    found = {key: made.spec.content["model"].get(key) for key in ("revision", "start_from", "start_adapter")}
    assert {key: value for key, value in found.items() if value is not None} == expected
    groups = [made.translated, made.approximated, made.without_meaning]
    assert sorted(key for group in groups for key in group) == sorted(read(tmp_path / "config.json"))
    if "a,b" in keys.values():
        assert any("merge ./saves/a into the model first" in what for what in made.missing)


@pytest.mark.parametrize(
    ("toolkit", "keys", "expected"),
    [
        ("trl", {"torch_compile": True, "torch_compile_mode": "default"}, {"compile": True}),
        ("trl", {"torch_compile": False, "use_liger_kernel": True}, {"fused_kernels": True}),
        ("llamafactory", {"enable_liger_kernel": True}, {"fused_kernels": True}),
        ("llamafactory", {"enable_liger_kernel": False}, {}),
        (
            "axolotl",
            {"torch_compile": "auto", "liger_rope": True, "liger_swiglu": False, "cut_cross_entropy": True},
            {"compile": True, "fused_kernels": True},
        ),
    ],
)
def test_compiled_layers_and_kernels(
    tmp_path: Path, toolkit: str, keys: dict[str, Any], expected: dict[str, Any]
) -> None:
    path = tmp_path / "config.json"
    model = "base_model" if toolkit == "axolotl" else "model_name_or_path"
    path.write_text(json.dumps({model: "org/base", **keys}))
    made = import_config(toolkit, path, tmp_path / "spec.yaml")
    training = made.spec.content["training"]
    assert {key: training[key] for key in ("compile", "fused_kernels") if key in training} == expected
    kernels = [key for key in keys if "liger" in key and keys[key]]
    assert all("on CUDA only" in made.approximated[key] for key in kernels)
    groups = [made.translated, made.approximated, made.without_meaning]
    assert sorted(key for group in groups for key in group) == sorted(read(path))


def test_a_local_model_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_name_or_path": str(tmp_path / "base"), "model_revision": "v2"}))
    made = import_config("trl", config, tmp_path / "spec.yaml")
    assert "revision" not in made.spec.content["model"]
    assert made.without_meaning["model_revision"] == "only a model on the hub has revisions"


def test_revisions_files_by_split_and_prompt_styles(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    files = "{path: json, split: train, data_files: {train: a.jsonl, test: b.jsonl}}"
    path.write_text(f"model_name_or_path: a/b\nmodel_revision: v2\nloss_type: dft\ndatasets: [{files}]\n")
    made = import_config("trl", path, tmp_path / "spec.yaml")
    assert made.spec.content["model"]["revision"] == "v2"
    assert [Path(file).name for file in made.spec.content["tasks"][0]["train"]] == ["a.jsonl"]
    assert set(made.approximated) >= {"loss_type"}
    path.write_text("base_model: ./here\nrevision_of_model: v2\ndatasets: [{path: a/b, type: alpaca}]\n")
    made = import_config("axolotl", path, tmp_path / "spec.yaml")
    assert "revision" not in made.spec.content["model"]
    assert set(made.without_meaning) == {"revision_of_model"}
    assert set(made.approximated) == {"datasets[0].type"}


def bomb(line: str) -> bytes:
    """Nine levels, each of which has the one before nine times."""
    made = [line.format(name=chr(98 + i), nine=",".join(["*" + chr(97 + i)] * 9)) for i in range(9)]
    return ("a: &a {x: 1}\n" + "".join(made)).encode()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (bomb("{name}: &{name} [{nine}]\n"), "in.yaml: stands for more than 100,000 values, because of its aliases"),
        (bomb("{name}: &{name} {{<<: [{nine}]}}\n"), "in.yaml: stands for more than 100,000 values, because of"),
        (b"a: !!python/object/apply:os.system [id]\n", "in.yaml:1: not valid YAML or JSON: could not determine"),
        (b"a: " + b"9" * 5000, "in.yaml: cannot be read: Exceeds the limit"),
        (b"a: b\0c", "in.yaml: not valid YAML or JSON: unacceptable character"),
        (b"\xff\xfe\0", "in.yaml: cannot be read as a text"),
        (b"- a", "in.yaml: expected an object with keys, not list"),
        (b"[" * 5000, "in.yaml: is nested too deeply"),
    ],
)  # fmt: skip
def test_hostile_text_is_refused_in_one_message(given: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_bytes(given)
    with pytest.raises(MftError, match=message) as caught:
        read(tmp_path / "in.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_a_directory_and_an_endless_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MftError, match="cannot be read as a text"):
        read(tmp_path)
    with pytest.raises(MftError, match="/dev/zero: has more than 64 MiB, so it is something else"):
        read(Path("/dev/zero"))
