"""From a chat model to training in one spec: what the model copied from a benchmark, or got wrong, is not trained on."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chat_server import MODEL, Answer, ChatServer, drawn, good, serving
from mftkit.cli import main
from mftkit.plugins import executors
from references import HUMANEVAL, OTHER, PROBLEM, humaneval
from renaming import renamed, respaced
from small_runs import metrics, small_spec, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = 24
PROBLEMS = [PROBLEM, OTHER, *humaneval()]
KINDS = ("right", "wrong", "copied", "copied, laid out anew", "copied, named and laid out anew")


def solution(prompt: str) -> str:
    """A solution of one of the kinds, decided by the prompt: the kind stands in a comment."""
    name = re.findall(r"`(\w+)\(", prompt)[0]
    kind = drawn(prompt, KINDS)
    if not kind.startswith("copied"):
        result = "sorted(value, key=str)" if kind == "right" else "list(value)"
        return f"def {name}(value):\n    return {result}  # {kind}\n"
    problem = PROBLEMS[int(drawn(prompt, tuple(map(str, range(len(PROBLEMS))))))]
    parts = problem["prompt"], problem["canonical_solution"]
    if "named" in kind:
        parts = renamed(*parts)
    if "laid out" in kind:
        parts = respaced(parts[0]), respaced(parts[1])
    return f"{parts[0]}{parts[1]}\n# {kind}\n"


def script(body: dict[str, Any], number: int) -> Answer:
    prompt = body["messages"][-1]["content"]
    if prompt.startswith("Solve this exercise"):
        return Answer(f"```python\n{solution(prompt)}```")
    if found := re.search(r"A solution defines (\w+)", prompt):
        return Answer(f"```python\nassert {found[1]}(['b', 'a']) == ['a', 'b']\n```")
    return good(body, number)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(script) as made:
        yield made


def write(project: Path, server: ChatServer) -> None:
    write_rows(project / "own.jsonl", [PROBLEM, OTHER])
    chat = {"name": "openai", "options": {"model": MODEL, "base_url": server.url}}
    references = ["own.jsonl", *([str(HUMANEVAL)] if HUMANEVAL.exists() else [])]
    task = {
        "name": "exercises",
        "generator": {
            "name": "code-exercises",
            "options": {"model": chat, "samples": SAMPLES, "exercises": 4},
        },
        "filters": [
            "exact-duplicates",
            {"name": "decontamination", "options": {"references": references}},
            {"name": "well-formed", "options": {"needs_code": True}},
            {"name": "verification", "options": {"model": chat}},
        ],
        "valid": 0.2,
    }
    training = {"max_steps": 2, "batch_size": 4, "micro_batch_size": 4}
    (project / "spec.json").write_text(json.dumps(small_spec(tasks=[task], training=training)))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def counted(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(re.findall(r"# (\w[\w, ]*)\n", json.dumps(row).replace("\\n", "\n"))[0] for row in rows)


def test_only_what_is_the_models_own_and_works_is_trained_on(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(executors.WEAK, "1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    monkeypatch.chdir(tmp_path)
    write(tmp_path, server)
    assert main(["generate", "spec.json"]) == 0, capsys.readouterr().err
    output = capsys.readouterr()
    rows = Path(output.out.split(": ", 1)[1].strip())
    kept = read(rows)
    [made] = map(read, tmp_path.glob("cache/generated/*/*/*/rows.jsonl"))
    before = counted(made)
    assert sum(before.values()) == SAMPLES
    assert set(before) == set(KINDS), "each kind was planted"
    assert counted(kept) == {"right": before["right"]}
    assert all(row["tests"].startswith("assert ") for row in kept)
    copied = SAMPLES - before["right"] - before["wrong"]
    manifest = json.loads(rows.with_name("manifest.json").read_text())
    dropped = {each["name"]: sum(each["dropped"].values()) for each in manifest["filters"]}
    assert dropped["decontamination"] == copied
    assert dropped["verification"] == before["wrong"]

    asked = server.requests
    assert max(server.counts().values()) == 1
    assert main(["run", "spec.json"]) == 0, capsys.readouterr().err
    assert server.requests == asked, "what was made and verified is trained on as it is"
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    [task] = plan["tasks"]
    assert task["samples"] + task["valid_samples"] == before["right"]
    assert metrics(tmp_path / "run")[-1]["reason"] == "finished"
