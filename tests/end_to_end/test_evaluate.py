"""Evaluations of real runs of a tiny model: in the run, by ``mft evaluate``, stopped and continued, and refused."""

from __future__ import annotations

import gzip
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import mftkit
from commands import mft
from forked import start_code, start_mft
from mftkit.plugins.executors import WEAK
from small_runs import comparable, metrics, rows, small_spec, train, write_rows

SECTION = {"evaluators": ["exact-match", "loss"], "limit": 3, "max_new_tokens": 8}
PASS = {"name": "pass-at-k", "options": {"k": [1, 2], "ask": "completion"}}
UNSEEN = {"name": "unseen", "data": ["data/unseen.jsonl"], "evaluators": ["loss"]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate")
    write_rows(root / "data" / "big.jsonl", rows("big", 60))
    write_rows(root / "data" / "small.jsonl", rows("small", 20))
    write_rows(root / "data" / "unseen.jsonl", rows("unseen", 4))
    train(root, spec())
    train(root, spec(evaluates=False, output="plain"), name="plain.json")
    return root


def spec(*, evaluates: bool = True, **changes: Any) -> dict[str, Any]:
    training = {"max_steps": 6, "epochs": 1, "batch_size": 4, "micro_batch_size": 2, "evaluate_every": 3}
    made = small_spec(training=training, **changes)
    if evaluates:
        for task in made["tasks"]:
            task["evaluate"] = {**SECTION, "limit": None}
        made["evaluation"] = {"every": 3, "batch_size": 2, "tasks": [UNSEEN]}
    return made


def evaluations(run: Path) -> list[dict[str, Any]]:
    return [line for line in metrics(run) if line["event"] == "evaluation"]


def test_a_run_evaluates_before_at_the_interval_and_at_the_end(project: Path) -> None:
    lines = evaluations(project / "run")
    assert [line["step"] for line in lines] == [0, 3, 6]
    assert set(lines[0]["tasks"]) == {"big", "small", "unseen"}
    written = json.loads((project / "run" / "evaluations" / "step-6" / "evaluation.json").read_text())
    assert written["tasks"] == lines[-1]["tasks"]


def test_the_evaluator_loss_is_the_validation_loss_to_the_last_digits(project: Path) -> None:
    valid = {line["step"]: line["tasks"] for line in metrics(project / "run") if line["event"] == "valid"}
    for line in evaluations(project / "run"):
        for task in ("big", "small"):
            measured = line["tasks"][task]["loss/loss"]["value"]
            assert measured == pytest.approx(valid[line["step"]][task]["loss"], rel=1e-6)


def test_training_is_bit_for_bit_that_of_a_run_without_evaluations(project: Path) -> None:
    with_them, without = (
        load_file(project / name / "model" / "model.safetensors") for name in ("run", "plain")
    )
    assert all(with_them[name].equal(weights) for name, weights in without.items())
    kept = [line for line in metrics(project / "run") if line["event"] != "evaluation"]
    assert comparable(kept) == comparable(metrics(project / "plain"))


def test_every_prompt_answer_and_verdict_is_in_a_file(project: Path) -> None:
    lines = (project / "run" / "evaluations" / "step-6" / "small.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    asked = [row for row in found if row["prompt"] is not None]
    assert asked
    assert all(row["prompt"].startswith("<s>human\nsmall: ") for row in asked)
    assert all(row["prompt"].endswith("bot\n") for row in asked)
    assert all(set(row["verdicts"]) == {"exact-match"} for row in asked)
    assert all(Path(row["source"].rpartition(":")[0]).is_file() for row in found)


def test_the_page_shows_metrics_before_and_after(project: Path) -> None:
    page = (project / "run" / "report.html").read_text(encoding="utf-8")
    assert "unseen: loss" in page
    assert "Evaluations" in page


def test_the_command_evaluates_a_result_and_uses_its_answers_again(project: Path) -> None:
    done = mft("evaluate", "run", "--json", "--output", "out", cwd=project)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["tasks"]
    last = evaluations(project / "run")[-1]["tasks"]
    assert found["small"]["loss/loss"]["value"] == pytest.approx(
        last["small"]["loss/loss"]["value"], rel=1e-5
    )
    answers = project / "out" / "answers" / "small.jsonl"
    lines = answers.read_text().splitlines(keepends=True)
    answers.write_text(lines[0] + lines[1][:20])  # as a kill leaves it
    again = mft("evaluate", "run", "--json", "--output", "out", cwd=project)
    assert json.loads(again.stdout) == json.loads(done.stdout)
    kept = answers.read_text().splitlines(keepends=True)
    assert sorted({kept[0], *kept[2:]}) == sorted(lines)  # the first one and the cut one are where they were


def test_the_command_writes_a_page_with_answers_and_options_change_all_sections(project: Path) -> None:
    options = ("--limit", "1", "--samples", "2", "--temperature", "0.8", "--max-new-tokens", "4")
    done = mft("evaluate", "run", *options, "--output", "paged", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "paged/evaluation.html" in done.stdout
    page = (project / "paged" / "evaluation.html").read_text(encoding="utf-8")
    assert "big: exact-match/<wbr>exact-match" in page
    assert "2 of 2 answers, those that failed first; all are in small.jsonl." in page
    lines = (project / "paged" / "small.jsonl").read_text().splitlines()
    answers = [answer for line in lines for answer in json.loads(line)["answers"]]
    assert len(answers) == 2
    assert max(answer["tokens"] for answer in answers) <= 4
    wrong = mft("evaluate", "run", "--samples", "2", "--output", "wrong", cwd=project)
    assert wrong.returncode == 2
    assert "temperature: should be above 0" in wrong.stderr
    taken = mft("evaluate", "run", "--output", "spec.json", cwd=project)
    assert taken.returncode == 2
    assert "spec.json: is a file; give a directory" in taken.stderr


def test_a_killed_evaluation_continues_and_ends_as_one_that_was_not(project: Path) -> None:
    options = ("--set", "evaluation.batch_size=1", "--max-new-tokens", "40")
    with start_mft("evaluate", "run", *options, "--output", "killed", cwd=project) as process:
        file = project / "killed" / "answers" / "big.jsonl"
        while process.poll() is None and not (file.is_file() and file.read_bytes().count(b"\n")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = file.read_bytes()
    again, whole = (
        mft("evaluate", "run", *options, "--json", "--output", name, cwd=project)
        for name in ("killed", "whole")
    )
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(whole.stdout)
    assert file.read_bytes().startswith(before[: before.rindex(b"\n")])
    for task in ("big", "small"):
        ours, expected = ((project / name / f"{task}.jsonl").read_text() for name in ("killed", "whole"))
        assert ours == expected


def test_an_evaluation_that_was_killed_between_its_files_is_written_whole(project: Path) -> None:
    """The rows of one task are written; its answers end in the middle of a character."""
    code = (
        "import os, signal, mftkit.evaluation.evaluations as module\n"
        "from mftkit.cli import main\n"
        "write = module.write_rows\n"
        "def write_and_die(directory, task, rows):\n"
        "    write(directory, task, rows)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "module.write_rows = write_and_die\n"
        "main(['evaluate', 'run', '--output', 'between'])"
    )
    output = project / "between"
    killed = start_code(code, project)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert sorted(entry.name for entry in output.iterdir()) == ["answers", "big.jsonl"]
    with (output / "answers" / "big.jsonl").open("ab") as file:
        file.write('{"key": "ä'.encode()[:-1])
    (output / ".evaluation.json.partial").write_text("{")
    again, whole = (mft("evaluate", "run", "--output", name, cwd=project) for name in ("between", "unbroken"))
    assert (again.returncode, whole.returncode) == (0, 0), again.stderr
    assert {path.name for path in output.iterdir()} == {
        path.name for path in (project / "unbroken").iterdir()
    }
    for name in ("evaluation.json", "big.jsonl", "small.jsonl"):
        assert (output / name).read_bytes() == (project / "unbroken" / name).read_bytes()


def test_from_python_with_the_metrics(project: Path) -> None:
    losses = mftkit.evaluate(project / "run", progress=False)
    assert losses.evaluated == {}
    found = mftkit.evaluate(project / "run", output=project / "python", tasks=["small"], progress=False)
    assert found.losses == {"small": losses.losses["small"]}
    last = evaluations(project / "run")[-1]["tasks"]["small"]
    measured = found.evaluations.set_index("metric")["value"].to_dict()
    assert measured == pytest.approx({name: value["value"] for name, value in last.items()}, rel=1e-5)
    assert "exact-match/exact-match" in found._repr_html_()


def test_the_model_card_has_the_metrics_of_its_step(project: Path) -> None:
    run = project / "run"
    (end,) = [line for line in metrics(run) if line["event"] == "end"]
    line = next((each for each in evaluations(run) if each["step"] == end["best_step"]), None)
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert line is not None
    assert f"loss/loss | {line['tasks']['unseen']['loss/loss']['value']:.4f}" in card
    assert "metric_name" in card or "name: loss/loss" in card


def test_one_task_can_be_chosen_and_another_name_is_refused(project: Path) -> None:
    done = mft("evaluate", "run", "--task", "unseen", "--output", "one", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "unseen loss/loss" in done.stdout
    assert "small" not in done.stdout
    wrong = mft("evaluate", "run", "--task", "unsen", "--output", "one", cwd=project)
    assert wrong.returncode == 2
    assert "did you mean 'unseen'" in wrong.stderr


def test_a_spec_that_evaluates_nothing_is_refused(project: Path) -> None:
    done = mft("evaluate", "plain", cwd=project)
    assert done.returncode == 2
    assert "no task has a section evaluate" in done.stderr


def test_a_row_without_an_answer_is_named_before_anything_is_generated(project: Path, tmp_path: Path) -> None:
    file = write_rows(
        tmp_path / "open.jsonl", [{"id": 1, "chat_rounds": [{"role": "human", "content": "x"}]}]
    )
    change = json.dumps([{"name": "open", "data": [str(file)], "evaluators": ["exact-match"]}])
    done = mft("evaluate", "run", "--set", f"evaluation.tasks={change}", "--output", "open", cwd=project)
    assert done.returncode == 2
    assert f"{file}:1" in done.stderr
    assert not (project / "open" / "answers").exists()


def test_a_row_with_a_lone_surrogate_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "lone.jsonl").write_text('{"prompt": "x \\ud800", "answer": "y"}\n')
    tasks = [{"name": "lone", "data": [str(tmp_path / "lone.jsonl")], "evaluators": ["exact-match"]}]
    done = mft("evaluate", "run", "--set", f"evaluation.tasks={json.dumps(tasks)}", cwd=project)
    assert done.returncode == 2
    assert "lone.jsonl:1: a lone surrogate (\\ud800) is not a character" in done.stderr


def test_prompts_of_all_tasks_are_checked_before_anything_is_generated(project: Path, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "long.jsonl", [{"prompt": "word " * 600, "answer": "x"}])
    tasks = [{"name": "long", "data": [str(file)], "evaluators": ["exact-match"]}]
    change = f"evaluation.tasks={json.dumps(tasks)}"
    done = mft("evaluate", "run", "--set", change, "--output", "long", cwd=project)
    assert done.returncode == 2
    assert f"{file}:1: the prompt has 2,413 tokens, and the model reads 128 at most" in done.stderr
    assert not (project / "long" / "answers").exists()


def test_answers_are_executed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEAK, "1")
    problem = {
        "task_id": "Own/0",
        "prompt": "def one():\n",
        "entry_point": "one",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    with gzip.open(project / "data" / "problems.jsonl.gz", "wt") as file:
        file.write(json.dumps(problem) + "\n")
    task = {
        "name": "problems",
        "data": [str(project / "data" / "problems.jsonl.gz")],
        "max_new_tokens": 4,
        "evaluators": [PASS],
    }
    given = ("evaluate", "run", "--task", "problems", "--output", "problems", "--set")
    done = mft(
        *given, f"evaluation.tasks={json.dumps([{**task, 'samples': 2, 'temperature': 1}])}", cwd=project
    )
    assert done.returncode == 0, done.stderr
    [row] = map(json.loads, (project / "problems" / "problems.jsonl").read_text().splitlines())
    assert row["id"] == "Own/0"
    assert row["prompt"] == problem["prompt"]
    assert [each["passed"] for each in row["verdicts"]["pass-at-k"]] == [False, False]
    assert all(each["note"] for each in row["verdicts"]["pass-at-k"])
    metrics = json.loads((project / "problems" / "evaluation.json").read_text())["tasks"]["problems"]
    assert metrics["pass-at-k/pass@2"]["value"] == 0
    refused = mft(*given, f"evaluation.tasks={json.dumps([task])}", cwd=project)
    assert refused.returncode == 2
    assert "pass@2 needs at least 2 answers per row, but samples is 1" in refused.stderr
