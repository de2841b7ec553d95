"""``mft spec new``: data files and a model become a commented spec that validates."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from commands import mft
from mftkit.cli import main
from mftkit.spec import load_spec
from mftkit.tools.spec_new.build import Answers, build
from mftkit.tools.spec_new.columns import propose
from mftkit.tools.spec_new.grouping import group
from mftkit_registry import MftError
from small_runs import rows, write_rows

if TYPE_CHECKING:
    from mftkit.tools.spec_new.build import NewSpec


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model as far as it is looked at: its config, and a file of the size of its weights."""
    directory = tmp_path / "model"
    directory.mkdir()
    config = {"model_type": "llama", "max_position_embeddings": 512, "dtype": "float32"}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.safetensors").write_bytes(b"\0" * 4000)
    return directory


def built(tmp_path: Path, model: Path | str, *data: str, **more: Any) -> NewSpec:
    warnings: list[str] = []
    return build(Answers(tmp_path / "spec.yaml", list(data), str(model), **more), warnings.append)


def test_files_become_tasks_with_the_validation_files_beside_them(tmp_path: Path) -> None:
    for name in (
        "a/train.jsonl",
        "a/valid.jsonl",
        "a/other.csv",
        "b/fix-train.jsonl",
        "b/fix_dev.jsonl",
        "c/x.jsonl",
    ):
        write_rows(tmp_path / name, rows("t", 1))
    found = group([str(tmp_path)])
    assert [(task.name, task.valid and task.valid.name) for task in found] == [
        ("a", "valid.jsonl"), ("fix", "fix_dev.jsonl") if found[1].name == "fix" else ("b", "fix_dev.jsonl"), ("c", None),
    ]  # fmt: skip
    assert "other.csv" in found[0].notes[0]
    both = group(
        [str(tmp_path / "a/train.jsonl"), str(tmp_path / "a/valid.jsonl"), f"n={tmp_path}/c/x.jsonl"]
    )
    assert [task.name for task in both] == ["a", "n"]
    with pytest.raises(MftError, match="no such file"):
        group([str(tmp_path / "nothing.jsonl")])


@pytest.mark.parametrize(
    ("row", "columns", "is_text"),
    [
        ({"prompt": "q", "canonical_solution": "a", "id": "1"}, {"canonical_solution": "answer"}, False),
        ({"problem": "q", "solution": "a"}, {"problem": "prompt", "solution": "answer"}, False),
        ({"dialog": [{"role": "user", "content": "q"}]}, {"dialog": "messages"}, False),
        ({"content": "x = 1", "url": "u"}, {"content": "text"}, True),
    ],
)
def test_columns_are_proposed_from_known_names(
    row: dict[str, Any], columns: dict[str, str], is_text: bool
) -> None:
    found = propose([row])
    assert found is not None
    assert (found.columns, found.is_text) == (columns, is_text)


def test_columns_that_are_unclear_are_listed(tmp_path: Path, model: Path) -> None:
    assert propose([{"left": "q", "right": "a"}]) is None
    write_rows(tmp_path / "x.jsonl", [{"left": "q", "right": "a"}] * 3)
    data = str(tmp_path / "x.jsonl")
    with pytest.raises(MftError, match=r"'left', 'right'.*--columns x:COLUMN=prompt"):
        built(tmp_path, model, data)
    made = built(tmp_path, model, data, columns=["x:left=prompt", "right=answer"])
    assert made.spec.content["tasks"][0]["columns"] == {"left": "prompt", "right": "answer"}


def test_the_written_spec_validates_and_says_why(tmp_path: Path, model: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [*rows("a", 30), {"chat_rounds": []}])
    write_rows(tmp_path / "t.jsonl", [{"text": "x = 1"}] * 4)
    arguments = ["--data", "a.jsonl", "--data", "t.jsonl", "--model", str(model), "--output", "spec.yaml"]
    done = mft("spec", "new", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mft run spec.yaml --dry-run" in done.stdout
    assert "task a: 30 rows, 1 cannot be used" in done.stderr
    text = (tmp_path / "spec.yaml").read_text()
    assert "# learning_rate: " in text
    assert "1 row cannot be used, the first: " in text
    spec = load_spec(tmp_path / "spec.yaml")
    assert [task.format.name for task in spec.tasks] == ["chat", "text"]
    assert (spec.data.on_bad_row, spec.max_length, spec.tuning.method) == ("skip", 256, "full")
    again = mft("spec", "new", *arguments, cwd=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert (tmp_path / "spec.yaml").read_text() == text


def test_a_large_model_gets_an_adapter_and_missing_answers_are_errors(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", rows("a", 1))
    made = built(tmp_path, "organization/coder-7b", str(tmp_path / "a.jsonl"))
    assert made.spec.content["tuning"] == "lora"
    assert made.spec.content["training"]["gradient_checkpointing"] is True
    assert made.spec.content["tasks"][0]["valid"] == 0
    done = mft("spec", "new", "--data", "a.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "--model is required" in done.stderr


class Terminal(io.StringIO):
    """Input and output of a person."""

    def isatty(self) -> bool:
        return True


ANSWERS = {
    "Spec file": ["spec.txt", "there.yaml", "spec.yaml"],
    "Data files": ["'a.jsonl", "b.jsonl", "a.jsonl"],
    "Directory or hub id": ["./nowhere", "./model"],
    "Column of the question": ["lef", "left"],
    "Column of the answer": ["right"],
}


@pytest.mark.parametrize("ends", [False, True])
def test_wrong_answers_are_asked_again_and_nothing_is_written_before_the_last(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    (tmp_path / "a.jsonl").write_text('{"left": "the question", "right": "the answer"}\n' * 4)
    (tmp_path / "there.yaml").write_text("name: there\n")
    monkeypatch.chdir(tmp_path)
    shown, left = Terminal(), {question: list(given) for question, given in ANSWERS.items()}

    def prompt(question: str, **_settings: Any) -> str:
        (key,) = [key for key in left if question.startswith(key)]
        if ends and key == "Column of the answer":
            raise typer.Abort
        return left[key].pop(0)

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", shown)
    assert main(["spec", "new"]) == (2 if ends else 0)
    for message in (
        "spec.txt", "there.yaml exists already", "'a.jsonl: a quotation mark is not closed", "b.jsonl: no such file",
        "nowhere", "there is no column 'lef'; the columns are left, right",
    ):  # fmt: skip
        assert message in shown.getvalue()
    if ends:
        assert "the input ended before the last question, so nothing was written" in shown.getvalue()
        assert not (tmp_path / "spec.yaml").exists()
    else:
        (task,) = load_spec(tmp_path / "spec.yaml").tasks
        assert task.columns == {"left": "prompt", "right": "answer"}
