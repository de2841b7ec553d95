"""``mft spec check``: what a run would refuse is found without weights, all at once, each with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import Tokenizer, models

from mftkit.cli import main
from mftkit.tools.spec_check.check import check_spec

if TYPE_CHECKING:
    from pathlib import Path

SHARDS = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}


def checkpoint(directory: Path) -> Path:
    """What a check looks at of a checkpoint: no weight is in it."""
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    Tokenizer(models.BPE()).save(str(directory / "tokenizer.json"))
    header = b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}'
    (directory / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    checkpoint(tmp_path / "base")
    (tmp_path / "a.jsonl").write_text('{"prompt": "p", "answer": "a"}\n' * 3)
    return tmp_path


def spec_of(**more: Any) -> dict[str, Any]:
    return {"name": "x", "model": {"path": "base"}, "tasks": [{"name": "a", "train": ["a.jsonl"]}], **more}


def found(project: Path, spec: dict[str, Any], level: str = "errors") -> list[str]:
    (project / "s.json").write_text(json.dumps(spec))
    checked = check_spec(project / "s.json")
    return [
        f"{finding.key}: {finding.text}".replace(str(project), ".") for finding in getattr(checked, level)
    ]


def test_a_spec_that_is_right(project: Path) -> None:
    assert found(project, spec_of()) == []
    assert found(project, spec_of(), "warnings") == []
    assert found(project, spec_of(), "not_checked") == []


def task(**more: Any) -> dict[str, Any]:
    return spec_of(tasks=[{"name": "a", "train": ["a.jsonl"], **more}])


def by_a_metric(metric: str) -> dict[str, Any]:
    spec = task(evaluate={"evaluators": ["exact-match"]})
    return {**spec, "evaluation": {"every": 2}, "training": {"best_by": metric}}


def evaluated(data: str) -> dict[str, Any]:
    return spec_of(evaluation={"tasks": [{"name": "u", "data": data, "evaluators": ["loss"]}]})


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (task(train=["b.jsonl"]), "tasks.0.train: file ./b.jsonl not found; did you mean "),
        (task(train=["a.jsonl", "z*.jsonl"]), "tasks.0.train.1: no data files match the pattern ./z*.jsonl"),
        (task(train="base/config.txt"), "tasks.0.train: file ./base/config.txt not found"),
        (task(train="bad.jsonl"), "tasks.0.train: ./bad.jsonl:2: not valid JSON"),
        (task(train="one.jsonl", format="text"), "tasks.0.train: ./one.jsonl:1: 'text' is missing"),
        (task(train="empty.jsonl"), "tasks.0.train: the files of the task a contain no rows"),
        (task(valid="none"), "tasks.0.valid: file ./none not found"),
        (task(evaluate={"evaluators": ["loss"], "data": ["b.jsonl"]}), "tasks.0.evaluate.data: file ./b.jsonl not found"),
        (by_a_metric("exact-match/f1"), "training.best_by: exact-match has no metric 'f1' for the task a"),
        (evaluated("bad.jsonl"), "evaluation.tasks.0.data: ./bad.jsonl:2: not valid JSON"),
        (evaluated("empty.jsonl"), "evaluation.tasks.0.data: the files contain no rows to evaluate u on"),
        (task(columns={"promt": "system"}), "tasks.0.columns.promt: no row has a value in the column 'promt'"),
        (task(columns={"prompt": "questoin"}), "tasks.0.columns.prompt: rows are not read by the key 'questoin'"),
        (spec_of(model={"path": "./nowhere"}), "model.path: there is no directory ./nowhere"),
        (spec_of(model={"start_from": "./runs/x@40"}), "model.start_from: there is no directory ./runs/x"),
        (spec_of(model={"path": "a.jsonl"}), "model.path: ./a.jsonl is a file"),
        (spec_of(model={"path": "adapter"}), "model.path: ./adapter holds a PEFT adapter, not a model"),
        (spec_of(model={"path": "no-config"}), "model.path: ./no-config has no config.json"),
        (spec_of(model={"path": "no-weights"}), "model.path: ./no-weights has no weights"),
        (spec_of(model={"path": "shards"}), "model.path: ./shards lacks 1 of 2 weight files: model-2.safetensors"),
        (spec_of(model={"path": "cut"}), "model.path: ./cut/model.safetensors is truncated"),
        (spec_of(model={"path": "no-tokenizer"}), "model.tokenizer: no tokenizer files in ./no-tokenizer"),
        (spec_of(model={"path": "base", "tokenizer": "broken"}), "model.tokenizer: the tokenizer of ./broken cannot be read: tokenizer.json: "),
        (spec_of(model={"path": "base", "adapter": "gemma"}), "model.adapter: gemma does not support model type"),
        (spec_of(chat={"format": "template"}), "chat.format: the tokenizer has no chat template"),
        (spec_of(output="a.jsonl"), "output: ./a.jsonl is a file; choose another output"),
        (spec_of(output="other"), "output: ./other holds the run of another spec (differs in"),
        (spec_of(balancer="famo", tasks=[{"name": "a", "train": "a.jsonl", "valid": 0}]), "balancer: famo needs validation"),
        (
            spec_of(loss={"name": "task-focal", "options": {"alpha": {"z": 1}}}),
            "loss.options.alpha: no task is named 'z'",
        ),
        (
            task(filters=[{"name": "decontamination", "options": {"references": ["r.jsonl"]}}]),
            "tasks.0.filters.0: ./r.jsonl does not exist",
        ),
    ],
)  # fmt: skip
def test_one_error(project: Path, spec: dict[str, Any], error: str) -> None:
    (project / "bad.jsonl").write_text('{"prompt": "p", "answer": "a"}\n{bad\n')
    (project / "empty.jsonl").write_text("")
    (project / "one.jsonl").write_text('{"prompt": "p", "answer": "a"}\n')
    (project / "adapter").mkdir()
    (project / "adapter" / "adapter_config.json").write_text("{}")
    (project / "no-config").mkdir()
    (checkpoint(project / "no-weights") / "model.safetensors").unlink()
    shards = checkpoint(project / "shards")
    (shards / "model.safetensors").rename(shards / "model-1.safetensors")
    (shards / "model.safetensors.index.json").write_text(json.dumps(SHARDS))
    cut = checkpoint(project / "cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    (checkpoint(project / "no-tokenizer") / "tokenizer.json").unlink()
    (checkpoint(project / "broken") / "tokenizer.json").write_text("{")
    (project / "other").mkdir()
    (project / "other" / "spec.json").write_text(json.dumps({**spec_of(), "max_length": 77}))
    (problem,) = found(project, spec)
    assert problem.startswith(error)


def test_packages_and_keys(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mftkit_plugins.trackers.mlflow import MLflow

    monkeypatch.setattr(MLflow, "packages", {"no_such_module": "no-such-package"})
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    generator = {
        "name": "code-exercises",
        "options": {"model": {"name": "openai", "options": {"model": "m"}}},
    }
    spec = spec_of(tasks=[{"name": "a", "generator": generator}], trackers=["mlflow"])
    assert found(project, spec) == [
        "tasks.0.generator.options.model: https://api.openai.com/v1 requires a key: set the environment variable "
        "OPENAI_API_KEY",
        "trackers.0: mlflow cannot be used: not installed: no_such_module; pip install no-such-package",
    ]
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert len(found(project, spec)) == 1


def test_a_generator_of_validation_rows(project: Path) -> None:
    spec = task(valid={"generator": {"name": "python-source", "options": {"paths": ["no.py"]}}})
    assert found(project, spec) == []
    (warning,) = found(project, spec, "warnings")
    assert warning == "tasks.0.valid.generator.options.paths.0: ./no.py does not exist"


def test_bad_rows_that_are_skipped_are_warnings(project: Path) -> None:
    (project / "a.jsonl").write_text('{"prompt": "p", "answer": "a"}\n{}\n')
    spec = spec_of(data={"on_bad_row": "skip"})
    assert found(project, spec) == []
    assert len(found(project, spec, "warnings")) == 1


def test_only_the_first_rows_are_read(project: Path) -> None:
    (project / "a.jsonl").write_text('{"prompt": "p", "answer": "a"}\n' * 20 + "{bad\n")
    assert found(project, spec_of()) == []


def test_what_cannot_be_checked_is_listed(project: Path) -> None:
    spec = spec_of(model={"path": "org/model"}, tasks=[{"name": "a", "train": {"dataset": "org/data"}}])
    assert found(project, spec) == []
    assert found(project, spec, "not_checked") == [
        "model.path: the checkpoint org/model on the hub",
        "tasks.0.train: org/data[train]: a data set is loaded when the run starts",
    ]


YAML = """model: {path: nowhere/at/all}
tasks:
- name: a
  train: b.jsonl
- name: b
  generator: {name: python-source}
- nme: c
  train: c.jsonl
training:
  epochs: no
"""


def test_everything_at_once_with_lines(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "s.yaml"
    path.write_text(YAML)
    assert main(["spec", "check", str(path), "--set", "output=a.jsonl"]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == f"error: {path}: {len(lines)} errors:"
    places = [line.strip().removeprefix(str(path)).split(": ")[:2] for line in lines]
    assert places == [
        [":7", "tasks.2.name"],
        [":7", "tasks.2.nme"],
        [":10", "training.epochs"],
        [":1", "model.path"],
        [":4", "tasks.0.train"],
        ["--set", "output"],
    ]


def test_json_for_editors(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "s.yaml"
    path.write_text(YAML)
    assert main(["spec", "check", str(path), "--json"]) == 2
    read = json.loads(capsys.readouterr().out)
    assert read["spec"] == str(path)
    assert {
        "line": 10,
        "key": "training.epochs",
        "message": 'should be a valid number (given: "no")',
    } in read["errors"]
    path.write_text("model: {path: base}\ntasks: [{name: a, train: a.jsonl}]\n")
    assert main(["spec", "check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "spec": str(path),
        "errors": [],
        "warnings": [],
        "not_checked": [],
    }


@pytest.mark.parametrize(("balancer", "loss"), [("famo", "token-balanced"), ("coba", "task-focal")])
def test_neither_torch_nor_transformers_is_imported(project: Path, balancer: str, loss: str) -> None:
    (project / "s.json").write_text(
        json.dumps(spec_of(tuning="lora", balancer=balancer, loss=loss, trackers=["tensorboard"]))
    )
    code = (
        "import sys; from mftkit.cli import main; assert main(['spec', 'check', 's.json']) == 0; "
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
