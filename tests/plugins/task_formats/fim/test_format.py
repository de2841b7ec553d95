"""What "fim" trains, with the tokens of each family."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_path import sections, tokenizer, write_lines
from fim_tokenizers import FAMILIES, fim_tokenizer
from mftkit.data.corpus import Corpus, Samples, prepare
from mftkit_registry.errors import MftError
from recorder import Recorder

CODE = "def add_{i}(a, b):\n    total = a + b\n    return total\n\n\nprint(add_{i}(1, {i}))\n"


def texts(count: int) -> list[str]:
    return [CODE.format(i=i) + "x = [1, 2]\n" * (i % 4) for i in range(count)]


def prepared(
    path: Path, tok: Any, rows: list[str], listener: Recorder | None = None, **changes: Any
) -> Corpus:
    data = {"data": changes.pop("data", {}), "max_length": changes.pop("max_length", 512)}
    seed = {"seed": changes.pop("seed", 7)}
    write_lines(path / "rows.jsonl", [{"text": text} for text in rows])
    task = {
        "name": "fill",
        "format": {"name": "fim", "options": changes},
        "train": ["rows.jsonl"],
        "valid": 0,
    }
    return prepare(sections(path, task, **data, **seed), tok, listener or Recorder())


def ids(tok: Any, text: str) -> list[int]:
    found: list[int] = tok.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return found


def parts(tok: Any, family: str, tokens: list[int]) -> tuple[str, str, str, str]:
    """The order of a sample ("psm", "spm" or "plain"), and its prefix, middle and suffix."""
    pre, suf, mid, end = (tok.convert_tokens_to_ids(token) for token in FAMILIES[family])
    tokens = [token for token in tokens if token != tok.bos_token_id]
    if pre not in tokens:
        return "plain", "", "", ""
    assert tokens[0] == pre
    assert tokens[-1] == end
    first, second = tokens.index(suf), tokens.index(mid)
    if first == 1:
        return "spm", tok.decode(tokens[second + 1 : -1]), "", tok.decode(tokens[2:second])
    texts = (tokens[1:first], tokens[second + 1 : -1], tokens[first + 1 : second])
    prefix, middle, suffix = (tok.decode(part) for part in texts)
    return "psm", prefix, middle, suffix


def each(samples: Samples) -> Iterator[tuple[list[int], list[bool]]]:
    for i in range(len(samples)):
        sample = samples[i]
        yield sample.tokens.tolist(), sample.loss_mask.tolist()


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "codellama"])
def test_a_sample_has_the_tokens_of_the_family_and_loses_nothing(
    tmp_path: Path, family: str, adds_bos: bool
) -> None:
    tok, rows = fim_tokenizer(family, adds_bos=adds_bos), texts(40)
    made = prepared(tmp_path, tok, rows, rate=1, loss="middle")
    orders = set()
    for row, (tokens, mask) in zip(rows, each(made.train), strict=True):
        order, prefix, middle, suffix = parts(tok, family, tokens)
        orders.add(order)
        assert prefix + middle + suffix == row
        assert (tokens[0] == tok.bos_token_id) == adds_bos
        counted = np.flatnonzero(mask)
        assert counted[-1] == len(tokens) - 1  # what ends the middle is trained
        assert (np.diff(counted) == 1).all()
        trained = tok.decode([token for token, counts in zip(tokens[:-1], mask, strict=False) if counts])
        if order == "psm":
            assert trained == middle
            assert tokens[counted[0] :][:-1] == ids(tok, middle)
            # the prompt has the tokens that it has in use
            pre, suf, mid, _end = FAMILIES[family]
            assert tokens[: counted[0]] == ids(tok, f"{'<s>' * adds_bos}{pre}{prefix}{suf}{suffix}{mid}")
        else:
            assert prefix.endswith(trained)
    assert orders == {"psm", "spm"}
    assert made.stops == (FAMILIES[family][3],)


def test_code_llama_reads_the_prefix_as_the_start_of_a_text_and_nothing_else(tmp_path: Path) -> None:
    tok = fim_tokenizer("codellama")
    pre, suf, mid, end = (tok.convert_tokens_to_ids(token) for token in FAMILIES["codellama"])
    rows = ["def f(a, b): return a + b", "print(i) for i in range", "for i in range(10): print(i)"] * 4
    made = prepared(tmp_path, tok, rows, rate=1, spm=0, loss="middle")
    for row, (tokens, mask) in zip(rows, each(made.train), strict=True):
        assert (tokens[0], tokens[-1]) == (pre, end)
        first, second = tokens.index(suf), tokens.index(mid)
        prefix = tok.decode(tokens[1:first])  # the decoder strips one space from the start
        assert tokens[1:first] == ids(tok, prefix)
        bare = ids(tok, "\n")
        texts = [
            tok.decode([*bare, *tokens[a:b]])[1:]
            for a, b in ((second + 1, len(tokens) - 1), (first + 1, second))
        ]
        assert prefix + "".join(texts) == row
        assert sum(mask) == len(tokens) - 1 - second


def test_the_middle_ends_in_the_token_of_its_family(tmp_path: Path) -> None:
    for family in ("codellama", "codegemma"):
        made = prepared(tmp_path / family, fim_tokenizer(family), texts(9), rate=1)
        assert made.stops == (FAMILIES[family][3],)


def test_rate_and_share_are_those_asked_for(tmp_path: Path) -> None:
    tok = fim_tokenizer("starcoder2")
    for rate, spm in ((0.9, 0.5), (0.5, 0.25)):
        made = prepared(tmp_path, tok, texts(2000), rate=rate, spm=spm)
        orders = Counter(parts(tok, "starcoder2", tokens)[0] for tokens, _mask in each(made.train))
        assert abs(1 - orders["plain"] / 2000 - rate) < 0.03
        assert abs(orders["spm"] / (orders["spm"] + orders["psm"]) - spm) < 0.04


def test_all_tokens_but_the_first_are_in_the_loss_if_asked_for(tmp_path: Path) -> None:
    tok = fim_tokenizer("starcoder2")
    for tokens, mask in each(prepared(tmp_path, tok, texts(30), rate=0.8).train):
        assert mask == [False, *[True] * (len(tokens) - 1)]
    bos = fim_tokenizer("starcoder2", adds_bos=True)
    for tokens, mask in each(prepared(tmp_path, bos, texts(30), rate=0.8).train):
        assert tokens[0] == bos.bos_token_id
        assert mask == [False, *[True] * (len(tokens) - 1)]


def test_splits_depend_on_seed_and_row_alone(tmp_path: Path) -> None:
    tok, rows = fim_tokenizer("starcoder2"), texts(30)
    first = dict(zip(rows, each(prepared(tmp_path / "a", tok, rows).train), strict=True))
    other = rows[::-2]
    again = dict(zip(other, each(prepared(tmp_path / "b", tok, other).train), strict=True))
    assert again == {row: first[row] for row in other}
    seeded = dict(zip(rows, each(prepared(tmp_path / "a", tok, rows, seed=8).train), strict=True))
    assert sum(seeded[row] != first[row] for row in rows) > 20
    by_data = prepared(tmp_path / "c", tok, rows, seed=1, data={"seed": 7}).train
    assert list(each(by_data)) == list(first.values())


def test_a_plain_sample_is_what_the_format_text_makes(tmp_path: Path) -> None:
    tok, rows = fim_tokenizer("starcoder2", adds_bos=True), texts(12)
    made = prepared(tmp_path, tok, rows, rate=0)
    text = {"name": "fill", "format": "text", "train": ["rows.jsonl"], "valid": 0}
    plain = prepare(sections(tmp_path, text), tok, Recorder())
    assert list(each(made.train)) == list(each(plain.train))


@pytest.mark.parametrize("spans", ["characters", "lines", "syntax"])
@pytest.mark.parametrize("max_length", [40, 64, 200])
def test_the_middle_of_a_long_row_is_never_cut_off(tmp_path: Path, spans: str, max_length: int) -> None:
    tok, listener = fim_tokenizer("starcoder2"), Recorder()
    rows = [f"# {i}é\n" + "".join(texts(12)[i:]) for i in range(12)]
    made = prepared(tmp_path, tok, rows, listener, rate=1, spm=0, spans=spans, max_length=max_length)
    assert len(made.train) == 12
    assert max(made.train.lengths) <= max_length
    assert np.median(made.train.lengths) >= max_length - 24
    for row, (tokens, _mask) in zip(rows, each(made.train), strict=True):
        _order, prefix, middle, suffix = parts(tok, "starcoder2", tokens)
        assert prefix + middle
        assert prefix + middle + suffix in row
    if max_length < 100:
        assert any("too long for one sample" in line and "12 rows" in line for line in listener.warnings)
    assert not any("truncated" in line for line in listener.warnings)


def test_long_rows_are_dropped_or_errors_where_the_spec_says_so(tmp_path: Path) -> None:
    tok, rows = fim_tokenizer("starcoder2"), [texts(3)[0], "".join(texts(9))]
    dropped = prepared(tmp_path, tok, rows, rate=1, max_length=80, data={"overlong": "drop"})
    assert len(dropped.train) == 1
    with pytest.raises(MftError, match=r"rows\.jsonl:2: .*max_length is 80"):
        prepared(tmp_path, tok, rows, rate=1, max_length=80, data={"overlong": "error"})


def test_context_limits_what_is_split(tmp_path: Path) -> None:
    tok = fim_tokenizer("starcoder2")
    made = prepared(tmp_path, tok, ["".join(texts(9)), "".join(texts(8))], rate=1, context=30)
    assert made.train.lengths.max() <= 34
    assert made.train.lengths.min() >= 20


def test_new_splits_in_each_epoch(tmp_path: Path) -> None:
    tok, rows = fim_tokenizer("starcoder2"), texts(20)
    made = prepared(tmp_path, tok, rows, rate=1, spm=0, splits=3)
    assert len(made.train) == 20
    epochs = [list(each(made.train.in_epoch(epoch))) for epoch in range(4)]
    assert epochs[3] == epochs[0] == list(each(made.train))
    assert epochs[0] == list(each(prepared(tmp_path, tok, rows, rate=1, spm=0).train))
    for samples in epochs[:3]:
        for row, (tokens, _mask) in zip(rows, samples, strict=True):
            order, prefix, middle, suffix = parts(tok, "starcoder2", tokens)
            assert prefix + middle + suffix == row, order
    assert sum(a != b for a, b in zip(epochs[0], epochs[1], strict=True)) > 15
    assert sum(a != b for a, b in zip(epochs[1], epochs[2], strict=True)) > 15
    assert made.tasks[0].samples == 20


def test_look_alikes_of_its_own_tokens_in_a_row_are_text(tmp_path: Path) -> None:
    tok, listener = fim_tokenizer("starcoder2"), Recorder()
    rows = [f"s = '<fim_middle>' + {i} + '<fim_prefix>'\n" for i in range(6)]
    made = prepared(tmp_path, tok, rows, listener, rate=1, spm=0)
    middle = tok.convert_tokens_to_ids("<fim_middle>")
    for tokens, _mask in each(made.train):
        assert tokens.count(middle) == 1
    assert any("<fim_middle>" in line and "6 rows" in line for line in listener.warnings)


def test_missing_tokens_are_one_error_that_lists_similar_ones(tmp_path: Path) -> None:
    tok = tokenizer()
    tok.add_special_tokens({"additional_special_tokens": ["<my_prefix>", "<my_suffix>", "<my_middle>"]})
    with pytest.raises(
        MftError, match=r"task fill: .*StarCoder.*<my_middle>, <my_prefix>, <my_suffix>.*tokens"
    ):
        prepared(tmp_path, tok, texts(3))
    names = {"prefix": "<my_prefix>", "suffix": "<my_suffix>", "middle": "<my_middle>"}
    made = prepared(tmp_path, tok, texts(3), rate=1, tokens=names)
    assert made.stops == ("</s>",)
    with pytest.raises(MftError, match=r"no added token '<gone>'.*<my_middle>"):
        prepared(tmp_path, tok, texts(3), tokens=names | {"end": "<gone>"})
    with pytest.raises(MftError, match=r"no added token|it has <s>|None of its added tokens|no added tokens"):
        prepared(tmp_path, tokenizer(), texts(3))


def test_a_row_without_text_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"content": "x = 1"}) + "\n", encoding="utf-8")
    task = {"name": "fill", "format": "fim", "train": ["rows.jsonl"], "valid": 0}
    with pytest.raises(MftError, match=r"rows\.jsonl:1: 'text' is missing.*columns"):
        prepare(sections(tmp_path, task), fim_tokenizer("starcoder2"), Recorder())
    named = task | {"columns": {"content": "text"}}
    assert len(prepare(sections(tmp_path, named), fim_tokenizer("starcoder2"), Recorder()).train) == 1


def test_texts_without_the_spans_asked_for_are_reported_with_a_count(tmp_path: Path) -> None:
    tok, listener = fim_tokenizer("starcoder2"), Recorder()
    prepared(tmp_path, tok, ["x = (", "y = 1 +", *texts(4)], listener, rate=1, spans="syntax")
    assert any("2 rows do not parse as Python" in line for line in listener.warnings)
    listener = Recorder()
    prepared(tmp_path, tok, ["one line", *texts(4)], listener, rate=1, spans="lines")
    assert any("1 row have a single line" in line or "1 row" in line for line in listener.warnings)
