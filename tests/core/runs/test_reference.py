"""What references to weights stand for, and what the messages list where they stand for nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.models.result import find_result
from mftkit.runs.reference import find_weights


def valid(step: int, **tasks: float) -> dict[str, Any]:
    of_tasks = {name: {"loss": loss, "tokens": 1} for name, loss in tasks.items()}
    return {"event": "valid", "step": step, "loss": sum(tasks.values()) / len(tasks), "tasks": of_tasks}


LINES = [valid(0, a=9, b=9), valid(10, a=3, b=5), valid(20, a=4, b=2), valid(30, a=5, b=3)]
END = {"event": "end", "reason": "finished", "step": 30, "best_step": 20, "error": None}


def make(
    run: Path, steps: tuple[int, ...], *, ended: bool = False, best: dict[str, int] | None = None
) -> Path:
    """The files of a run by which references are resolved."""
    run.mkdir(parents=True)
    (run / "spec.json").write_text(json.dumps({"output": str(run), "model": {}}))
    lines = [*LINES, END] if ended else LINES
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in steps:
        (run / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
    if ended:
        result(run / "model")
    entries: dict[str, Any] = {}
    for task, step in (best or {}).items():
        entries[task] = {"step": step, "path": f"best/step-{step:08d}"}
        result(run / entries[task]["path"])
    if best:
        (run / "best" / "best.json").write_text(
            json.dumps({"tasks": entries, "mean": None, "mean_rank": None})
        )
    return run


def result(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    return directory


def place(reference: str) -> str:
    """Where the weights are, by the last names of the path."""
    path = Path(str(find_weights(reference)))
    return "/".join(path.parts[-2:]) if path.parent.name in ("checkpoints", "best") else path.name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("references")
    make(root / "unfinished", (10, 30))
    make(root / "finished", (20, 30), ended=True, best={"a": 10})
    make(root / "run@best", (10, 20))
    make(root / "young", ())
    result(root / "weights@20")
    return root


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("unfinished", "checkpoints/step-00000030"),
        ("unfinished/", "checkpoints/step-00000030"),
        ("unfinished@10", "checkpoints/step-00000010"),
        ("unfinished@last", "checkpoints/step-00000030"),
        ("unfinished@best:a", "checkpoints/step-00000010"),
        ("unfinished/checkpoints/step-00000010", "checkpoints/step-00000010"),
        ("finished", "model"),
        ("finished@best", "model"),
        ("finished@20", "checkpoints/step-00000020"),
        ("finished@10", "best/step-00000010"),
        ("finished@best:a", "best/step-00000010"),
        ("finished@best:b", "checkpoints/step-00000020"),
        ("finished@last", "checkpoints/step-00000030"),
        ("finished/model", "model"),
        ("run@best", "checkpoints/step-00000020"),
        ("run@best@10", "checkpoints/step-00000010"),
        ("run@best@best:a", "checkpoints/step-00000010"),
        ("weights@20", "weights@20"),
    ],
)
def test_it_is_found(runs: Path, reference: str, expected: str) -> None:
    assert place(f"{runs}/{reference}") == expected


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("unfinished@20", "there are no weights of step 20; there are those of steps 10, 30"),
        ("unfinished@best", "the best by mean validation loss is step 20, whose weights were not kept; there are those"),
        ("unfinished@best:b", "the best of task b is step 20, whose weights were not kept; there are those of steps 10"),
        ("unfinished@best:aa", "no task aa was validated; tasks with validation: a, b"),
        ("unfinished@lst", "@lst is not known; a run directory can be followed by .*; did you mean @last"),
        ("unfinished@bst:a", "did you mean @best:a"),
        ("young", "the run has neither model/ nor a checkpoint yet; let it train first"),
        ("weights@20@10", "only a run directory can be followed by"),
        ("unfinishd@10", "there is no directory .*unfinishd .did you mean .*unfinished"),
        ("unfinished/spec.json", "is a file"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_reported_with_what_is(runs: Path, reference: str, message: str) -> None:
    with pytest.raises(mftkit.MftError, match=message):
        find_weights(f"{runs}/{reference}")


def test_an_unfinished_run_is_reported(runs: Path) -> None:
    assert "newest checkpoint is used, of step 30" in find_weights(runs / "unfinished").note
    assert find_weights(runs / "finished").note == ""


def test_hub_ids_and_mistyped_paths(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_weights("org/name@v1")
    assert (found.hub_id, found.revision, str(found)) == ("org/name", "v1", "org/name@v1")
    monkeypatch.chdir(runs.parent)
    with pytest.raises(mftkit.MftError, match="there is no directory"):
        find_weights(f"{runs.name}/nothing")
    with pytest.raises(
        mftkit.MftError, match="org/name: there is no such directory, and no model that can be loaded"
    ):
        mftkit.load_model("org/name")


def test_a_base_that_moved_with_the_run_is_found(tmp_path: Path) -> None:
    run = make(tmp_path / "new" / "second", (), ended=True)
    before = tmp_path / "old"
    (run / "spec.json").write_text(json.dumps({"output": str(before / "second"), "model": {}}))
    (run / "model" / "config.json").unlink()
    named = {"base_model_name_or_path": str(before / "first" / "base")}
    (run / "model" / "adapter_config.json").write_text(json.dumps(named))
    assert find_result(run).base == str(before / "first" / "base")
    result(tmp_path / "new" / "first" / "base")
    assert find_result(run).base == str(tmp_path / "new" / "first" / "base")
