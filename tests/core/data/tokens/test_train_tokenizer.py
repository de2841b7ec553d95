import base64
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data_path import TEXTS, chat_row, sections, write_lines
from mftkit.data.tokens import train_tokenizer
from mftkit.data.tokens.train_tokenizer import iter_texts, tokenizer_of_tasks, train_bpe
from mftkit_registry.errors import MftError
from recorder import Recorder

AGAIN = "from data_path import TEXTS, train_bpe\nprint(train_bpe(TEXTS, 400).backend_tokenizer.to_str())"


def test_any_text_comes_back_and_special_tokens_are_there() -> None:
    tok = train_bpe(TEXTS, 400)
    text = "def ünï(x):\n\treturn '🙂' \u2028 12\r\n"
    assert tok.decode(tok.encode(text)) == text
    assert tok.convert_ids_to_tokens([0, 1, 2]) == ["<pad>", "<s>", "</s>"]
    assert (tok.pad_token, tok.bos_token, tok.eos_token) == ("<pad>", "<s>", "</s>")
    assert tok.encode("a", add_special_tokens=True) == tok.encode("a", add_special_tokens=False)
    assert len(tok) <= 400


def test_the_same_text_gives_the_same_tokenizer_in_another_process() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "11"}
    other = subprocess.run([sys.executable, "-c", AGAIN], env=env, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == train_bpe(TEXTS, 400).backend_tokenizer.to_str()


def test_indentation_after_a_line_break_is_the_same_alone() -> None:
    tok = train_bpe(TEXTS, 400)
    assert tok.encode("<s>bot\n    return a") == tok.encode("<s>bot\n") + tok.encode("    return a")


def test_a_vocabulary_without_room_for_the_bytes_is_refused() -> None:
    with pytest.raises(MftError, match="at least 259"):
        train_bpe(TEXTS, 100)


def test_each_source_is_read_once_and_the_result_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "a.jsonl", [chat_row("ask", "answer", system="x")])
    write_lines(tmp_path / "t.jsonl", [{"text": "raw"}])
    spec = sections(
        tmp_path,
        {"name": "a", "train": ["a.jsonl"]},
        {"name": "b", "train": ["*a.jsonl"]},
        {"name": "t", "format": "text", "train": ["t.jsonl"]},
    )
    assert list(iter_texts(spec, Recorder())) == ["x", "ask", "answer", "raw"]
    first = tokenizer_of_tasks(spec, 300, Recorder())

    def train(*_arguments: Any) -> None:
        raise AssertionError("trained again")

    [file] = tmp_path.glob("**/tokenizers/*/tokenizer.json")
    whole = file.read_text("utf-8")
    file.write_text(whole.replace('"id": 1', '"id": 2', 1), "utf-8")  # a tokenizer, and another one
    listener = Recorder()
    again = tokenizer_of_tasks(spec, 300, listener)
    assert again.backend_tokenizer.to_str() == first.backend_tokenizer.to_str()
    assert [each for each in listener.warnings if "the tokenizer is trained again" in each]

    monkeypatch.setattr(train_tokenizer, "train_bpe", train)
    second = tokenizer_of_tasks(spec, 300, Recorder())
    assert second.backend_tokenizer.to_str() == first.backend_tokenizer.to_str()
    assert second.eos_token == "</s>"
    with pytest.raises(AssertionError, match="trained again"):
        tokenizer_of_tasks(spec, 301, Recorder())
    write_lines(tmp_path / "t.jsonl", [{"text": "RAW"}])
    with pytest.raises(AssertionError, match="trained again"):
        tokenizer_of_tasks(spec, 300, Recorder())


ODD = {
    "minified": "function a(b,c){return b.d(c)};" * 15_000,
    "base64": base64.b64encode(random.Random(1).randbytes(375_000)).decode(),
    "letters": "".join(random.Random(1).choices("abcdefghij", k=500_000)),
    "chinese": "".join(chr(0x4E00 + i * i % 4096) for i in range(175_000)),
    "spaces": "x" + " " * 500_000 + "y",
    "one letter": "a" * 500_000,
}


@pytest.mark.parametrize("kind", ODD)
def test_half_a_megabyte_without_white_space_takes_seconds(kind: str) -> None:
    """Without the limit, a hundred thousand letters take 10 s, and the time grows with the square."""
    before = time.process_time()
    tok = train_bpe([ODD[kind], "def f(x):\n    return x\n"], 600)
    assert tok.decode(tok.encode(ODD[kind])) == ODD[kind]
    assert time.process_time() - before < 10  # a second if it is right


def test_ordinary_text_gets_the_tokenizer_that_it_gets_without_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [path.read_text() for path in sorted(Path(train_tokenizer.__file__).parent.glob("*.py"))]
    limited = train_bpe(texts, 600).backend_tokenizer.to_str()
    monkeypatch.setattr(train_tokenizer, "LONGEST_WORD", 100_000)
    assert train_bpe(texts, 600).backend_tokenizer.to_str() == limited
