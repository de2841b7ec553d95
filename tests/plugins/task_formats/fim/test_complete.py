"""``mft complete RUN --prefix --suffix``: the command, with the tokens that the run was trained with."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands import mft
from fim_tokenizers import fim_tokenizer
from small_runs import small_spec, write_rows

NAMES = {"prefix": "<|p|>", "suffix": "<|s|>", "middle": "<|m|>"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with given tokens, in a vocabulary that has those of a family, too."""
    directory = tmp_path_factory.mktemp("complete")
    tok = fim_tokenizer("starcoder2")
    tok.add_special_tokens({"extra_special_tokens": list(NAMES.values())})
    tok.save_pretrained(directory / "tokenizer")
    rows = [{"text": f"def f{i}(a):\n    return a + {i}\n"} for i in range(24)]
    write_rows(directory / "rows.jsonl", rows)
    task = {"name": "fill", "train": ["rows.jsonl"], "format": {"name": "fim", "options": {"tokens": NAMES}}}
    spec: dict[str, Any] = small_spec(
        tasks=[task], training={"max_steps": 2, "epochs": 1, "evaluate_every": 9}
    )
    spec["model"]["tokenizer"] = "tokenizer"
    (directory / "spec.json").write_text(json.dumps(spec))
    done = mft("run", "spec.json", cwd=directory)
    assert done.returncode == 0, done.stderr
    (directory / "before.py").write_bytes(b"def f(\r\n")
    (directory / "after.py").write_text("):\n    return 1\n")
    return directory


@pytest.mark.parametrize("target", ["run", "run/model"])
def test_it_prints_what_the_model_writes_between_two_files(
    project: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mftkit.tools.chat import TextGenerator

    prompts: list[list[int]] = []
    plain: Any = TextGenerator._generate

    def keep(self: Any, ids: list[int], *more: Any) -> Any:
        prompts.append(ids)
        return plain(self, ids, *more)

    monkeypatch.setattr(TextGenerator, "_generate", keep)
    done = mft(
        "complete",
        target,
        "--prefix",
        "before.py",
        "--suffix",
        "after.py",
        "--max-new-tokens",
        "3",
        cwd=project,
    )
    assert done.returncode == 0, done.stderr
    from transformers import AutoTokenizer

    tok: Any = AutoTokenizer.from_pretrained(project / "tokenizer")
    text = "<|p|>def f(\r\n<|s|>):\n    return 1\n<|m|>"
    assert prompts == [tok(text, add_special_tokens=False)["input_ids"]]


def test_a_bare_model_has_the_tokens_of_its_vocabulary(project: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(project / "run" / "model", tmp_path / "model")
    (tmp_path / "before.py").write_text("x = ")
    done = mft("complete", "model", "--prefix", "before.py", "--max-new-tokens", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x = ", "--prefix", "before.py"), "PROMPT: cannot be combined with --prefix and --suffix"),
        (("--prefix", "-", "--suffix", "-"), "--prefix and --suffix cannot both be read from standard input"),
        (("--suffix", "gone.py"), "--suffix: gone.py cannot be read: No such file"),
    ],
)
def test_faults_are_one_message(project: Path, arguments: tuple[str, ...], message: str) -> None:
    done = mft("complete", "run", *arguments, cwd=project)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
