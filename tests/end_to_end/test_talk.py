"""``mft chat`` and ``mft complete`` on results of real runs."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import mftkit
from commands import environment
from mftkit.cli import main
from small_runs import rows, small_spec, write_rows


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def say(monkeypatch: pytest.MonkeyPatch, capsys: Any, text: Any, *arguments: Any) -> Any:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    capsys.readouterr()
    code = main([*map(str, arguments)])
    return code, capsys.readouterr()


def test_piped_lines_are_turns_and_only_answers_come_out(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for lines in ("big: sort\n\nand now?\n", "big: sort\n/reset\nbig: sort\n/exit\nnever read\n"):
        code, told = say(monkeypatch, capsys, lines, "chat", results / "moved", "--max-new-tokens", "6")
        assert (code, told.err) == (0, "")
        answers.append(told.out)
    once = answers[1][: len(answers[1]) // 2]
    assert answers[1] == 2 * once
    assert len(once) > 1
    assert answers[0].startswith(once)


def test_every_result_of_a_run_answers(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = results / "moved" / "best" / "step-00000002"
    if not step.is_dir():  # that step's was the best by mean, too
        step.mkdir()
        for file in (results / "moved" / "model").iterdir():
            (step / file.name).write_bytes(file.read_bytes())
    for place in (results / "full", results / "full" / "model", results / "moved", step):
        code, told = say(monkeypatch, capsys, "def", "complete", place, "--max-new-tokens", "4")
        assert (code, told.err) == (0, "")
        assert told.out.endswith("\n")
    _, again = say(monkeypatch, capsys, "", "complete", step, "def", "--max-new-tokens", "4")
    assert again.out == told.out, "the prompt as an argument"


def test_an_adapters_answer_is_the_merged_models(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(results / "moved"), "--output", str(results / "merged")]) == 0
    answers = [
        say(monkeypatch, capsys, "big: sort\n", "chat", results / name, "--max-new-tokens", "9")[1].out
        for name in ("moved", "merged")
    ]
    assert answers[0] == answers[1] != ""


def test_a_system_turn_is_read_and_temperature_draws(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    drawn = {
        say(monkeypatch, capsys, "big: sort\n", "chat", results / "full", "--max-new-tokens", "8", *more)[
            1
        ].out
        for more in ([], ["--temperature", "3"], ["--temperature", "3", "--system", "You sort."])
    }
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("command", "place", "message"),
    [
        ("chat", "nowhere", "RUN: there is no directory"),
        ("complete", "data", "neither a run directory nor a PEFT adapter nor a model"),
    ],
)
def test_what_cannot_be_talked_to_is_reported(
    results: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: Any,
    place: Any,
    message: str,
) -> None:
    code, told = say(monkeypatch, capsys, "", command, results / place)
    assert code == 2
    assert message in told.err


def test_a_result_without_a_template_is_for_completion(
    results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = mftkit.load_model(results / "full" / "model")
    assert tokenizer is not None
    tokenizer.chat_template = None
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    code, told = say(monkeypatch, capsys, "hello\n", "chat", tmp_path)
    assert code == 2
    assert "has no chat template: it was trained on plain texts; use mft complete" in told.err
    (tmp_path / "tokenizer.json").unlink()
    code, told = say(monkeypatch, capsys, "hello\n", "complete", tmp_path)
    assert code == 2
    assert "has no tokenizer files" in told.err


def endless(model: Any, tokenizer: Any) -> None:
    """Makes the model say one letter for ever."""
    model.config.max_position_embeddings = 10**6
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.fill_(1)
        model.lm_head.weight.zero_()
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("z")] = 1


def read_until(terminal: Any, wanted: Any) -> Any:
    """What a person sees, up to ``wanted``."""
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, f"{wanted!r} never came: {seen[-200:]!r}"
        seen += os.read(terminal, 4096)
    return seen


def test_ctrl_c_stops_an_answer_and_at_the_prompt_leaves(results: Any) -> None:
    """On a terminal of its own, as a person types."""
    place = results / "endless"
    model, tokenizer = mftkit.load_model(results / "full" / "model")
    assert tokenizer is not None
    endless(model, tokenizer)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    person, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mftkit.cli", "chat", str(place), "--max-new-tokens", "100000"],
        stdin=terminal, stdout=terminal, stderr=subprocess.DEVNULL, env=environment(TERM="dumb"),
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    try:
        for _ in range(2):
            read_until(person, b"> ")
            os.write(person, b"big: sort\n")
            read_until(person, b"zzzzz")
            process.send_signal(signal.SIGINT)
        read_until(person, b"> ")
        # Python loses a signal that comes after input() has shown its prompt and before it reads: nobody is that fast.
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
        os.close(person)
