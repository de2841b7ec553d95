"""``mft chat`` and ``mft complete`` on results of real runs."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
import torch

import mftkit
from mftkit.cli import main
from small_runs import environment, mft, rows, small_spec, write_rows


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A whole model, and an adapter on a base of the run's own that was moved since."""
    directory = tmp_path_factory.mktemp("talk")
    write_rows(directory / "data" / "big.jsonl", rows("big", 60))
    write_rows(directory / "data" / "small.jsonl", rows("small", 30))
    for name, changes in {"full": {}, "adapter": {"tuning": {"method": "lora", "rank": 4}}}.items():
        training = {"max_steps": 4, "learning_rate": 1e-2, "evaluate_every": 2}
        mftkit.run(
            mftkit.load_spec(small_spec(output=name, training=training, **changes), directory=directory)
        )
    (directory / "adapter").rename(directory / "moved")
    return directory


def test_piped_lines_are_turns_and_only_answers_come_out(results):
    answers = []
    for lines in ("big: sort\n\nand now?\n", "big: sort\n/reset\nbig: sort\n/exit\nnever read\n"):
        done = subprocess.run(
            [sys.executable, "-m", "mftkit.cli", "chat", "moved", "--max-new-tokens", "6"],
            input=lines, cwd=results, env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        answers.append(done.stdout)
    assert answers[1] == 2 * answers[1][: len(answers[1]) // 2]
    assert len(answers[1]) > 2
    assert answers[0].startswith(answers[1][: len(answers[1]) // 2])


def say(monkeypatch, capsys, text, *arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    capsys.readouterr()
    code = main([*map(str, arguments)])
    return code, capsys.readouterr()


def test_every_result_of_a_run_answers(results, monkeypatch, capsys):
    step = next(entry for entry in (results / "moved" / "best").iterdir() if entry.is_dir()) if any(
        entry.is_dir() for entry in (results / "moved" / "best").iterdir()
    ) else results / "moved" / "model"  # fmt: skip
    for place in (results / "full", results / "full" / "model", results / "moved", step):
        code, told = say(monkeypatch, capsys, "def", "complete", place, "--max-new-tokens", "4")
        assert (code, told.err) == (0, "")
        assert told.out.endswith("\n")
    _, again = say(monkeypatch, capsys, "", "complete", step, "def", "--max-new-tokens", "4")
    assert again.out == told.out, "the prompt as an argument"


def test_an_adapters_answer_is_the_merged_models(results, monkeypatch, capsys):
    assert main(["merge", str(results / "moved"), "--output", str(results / "merged")]) == 0
    answers = [
        say(monkeypatch, capsys, "big: sort\n", "chat", results / name, "--max-new-tokens", "9")[1].out
        for name in ("moved", "merged")
    ]
    assert answers[0] == answers[1] != ""


def test_a_system_turn_is_read_and_temperature_draws(results, monkeypatch, capsys):
    torch.manual_seed(0)
    drawn = {
        say(monkeypatch, capsys, "big: sort\n", "chat", results / "full", "--max-new-tokens", "8", *more)[
            1
        ].out
        for more in ([], ["--temperature", "3"], ["--temperature", "3", "--system", "You sort."])
    }
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chat", "nowhere"], "RUN: there is no directory"),
        (["chat", "data"], "neither a run directory nor a PEFT adapter nor a model"),
        (["complete", "full", "--max-new-tokens", "0"], "max-new-tokens"),
    ],
)
def test_what_cannot_be_talked_to_is_told(results, arguments, message):
    done = mft(*arguments, cwd=results)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_result_without_a_template_is_for_completion(results, tmp_path, monkeypatch, capsys):
    model, tokenizer = mftkit.load_model(results / "full" / "model")
    tokenizer.chat_template = None
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    code, told = say(monkeypatch, capsys, "hello\n", "chat", tmp_path)
    assert code == 2
    assert "has no chat template: it learned texts alone; use mft complete" in told.err
    (tmp_path / "tokenizer.json").unlink()
    code, told = say(monkeypatch, capsys, "hello\n", "complete", tmp_path)
    assert code == 2
    assert "has no tokenizer files" in told.err


def test_ctrl_c_stops_an_answer_and_at_the_prompt_leaves(results):
    """On a terminal of its own, as a person types; the model's end of text is forgotten, so that it never ends."""
    place = results / "endless"
    model, tokenizer = mftkit.load_model(results / "full" / "model")
    model.config.max_position_embeddings = 10**6
    torch.nn.init.zeros_(model.lm_head.weight)  # the first token for ever
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mftkit.cli", "chat", str(place), "--max-new-tokens", "100000"],
        stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, env=environment(), start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    try:
        assert b"Ctrl-C" in process.stderr.readline()
        for _ in range(2):
            os.write(keyboard, b"big: sort\n")
            time.sleep(3)
            process.send_signal(signal.SIGINT)
            time.sleep(1)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        process.stderr.close()
        os.close(keyboard)
    assert json.loads((place / "config.json").read_text())["model_type"] == "llama"
