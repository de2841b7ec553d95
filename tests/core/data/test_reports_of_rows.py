"""What a run reports of rows that it takes: once per task, with counts, from the cache, too."""

from pathlib import Path
from typing import Any

import pytest

from data_path import CHATML, THINKING, sections, tokenizer, write_lines
from mftkit.data.corpus import Corpus, prepare
from mftkit_registry.errors import MftError
from recorder import Recorder
from templates.table import CHATS


def asked(*answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    turns = [
        turn
        for answer in answers
        for turn in ({"role": "user", "content": "go"}, {"role": "assistant", **answer})
    ]
    return {"messages": turns, **more}


def prepared(
    tmp_path: Path, rows: list[dict[str, Any]], tok: Any = None, **changes: Any
) -> tuple[Corpus, list[str]]:
    write_lines(tmp_path / "rows.jsonl", rows)
    task = {"name": "t", "train": ["rows.jsonl"], "valid": 0, **changes.pop("task", {})}
    listener = Recorder()
    corpus = prepare(sections(tmp_path, task, **changes), tok or tokenizer(CHATML), listener)
    return corpus, [line for line in listener.warnings if "validation set is empty" not in line]


def trained(corpus: Corpus, tok: Any) -> list[str]:
    """The text of the loss tokens of each sample."""
    samples = [corpus.train[number] for number in range(len(corpus.train))]
    return [tok.decode(sample.tokens[sample.loss_mask]) for sample in samples]


def test_unused_keys_are_counted_once_per_task_and_reported_from_the_cache_too(tmp_path: Path) -> None:
    rows = [
        asked({"content": f"a{n}"}, url="u", license="l", id=n, **({"note": 1} if n < 3 else {}))
        for n in range(12)
    ]
    for _ in range(2):
        _, lines = prepared(tmp_path, rows)
        assert lines == ["task t: keys not used: url, license (12 rows), note (3 rows)"]
    _, lines = prepared(tmp_path, [asked({"content": "a", "ts": 3}, url=None)])
    assert lines == ["task t: keys not used: messages[].ts (1 row)"]


@pytest.mark.parametrize("mark", [{"train": False}, {"weight": 0}, {"loss": False}])
def test_answers_that_are_context_are_not_trained(tmp_path: Path, mark: dict[str, Any]) -> None:
    tok = tokenizer(CHATML)
    rows = [asked({"content": "No", **mark}, {"content": "Yes"})]
    corpus, lines = prepared(tmp_path, rows, tok)
    assert trained(corpus, tok) == ["Yes<|im_end|>"]
    assert len(lines) == 1
    assert "in 1 row, some answers are context only" in lines[0]
    last, _ = prepared(tmp_path, [asked({"content": "No"}, {"content": "Yes"}, train="last")], tok)
    assert trained(last, tok) == ["Yes<|im_end|>"]
    option = {"task": {"format": {"name": "chat", "options": {"train": "last"}}}}
    last, _ = prepared(tmp_path, [asked({"content": "No"}, {"content": "Yes"})], tok, **option)
    assert trained(last, tok) == ["Yes<|im_end|>"]


def test_answers_of_different_weights_are_samples_with_these_weights(tmp_path: Path) -> None:
    tok = tokenizer(CHATML)
    corpus, _ = prepared(
        tmp_path, [asked({"content": "No", "weight": 0.5}, {"content": "Yes"}, weight=3)], tok
    )
    assert trained(corpus, tok) == ["No<|im_end|>", "Yes<|im_end|>"]
    assert [corpus.train[number].weight for number in range(2)] == [1.5, 3]
    assert corpus.reports[0].rows == 1


@pytest.mark.parametrize(
    "tool_call", [{"tool_calls": [{"name": "f", "arguments": {}}]}, {"function_call": {"name": "f"}}]
)
def test_calls_that_a_template_does_not_render_are_refused(tmp_path: Path, tool_call: dict[str, Any]) -> None:
    for rows in (
        [asked({"content": "Yes", **tool_call})],
        [asked({"content": "Yes"}, tools=[{"name": "f"}])],
    ):
        with pytest.raises(MftError, match=r"rows\.jsonl:1: the chat template does not render"):
            prepared(tmp_path, rows)
    with pytest.raises(MftError, match=r"rows\.jsonl:1: turn 2: role markers .*cannot render calls"):
        prepared(tmp_path, [asked({"content": "Yes", **tool_call})], chat={"format": "markers"})


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_in_a_key_is_rendered_as_the_template_does_or_refused(tmp_path: Path, key: str) -> None:
    [chat] = [chat for chat in CHATS if chat.name == "Qwen 3"]
    tok = chat.tokenizer()
    corpus, lines = prepared(tmp_path, [asked({"content": "Yes", key: "how so"})], tok)
    assert trained(corpus, tok) == ["<think>\nhow so\n</think>\n\nYes<|im_end|>"]
    assert lines == []
    with pytest.raises(MftError, match=r"rows\.jsonl:1: turn 2: the chat template does not render reasoning"):
        prepared(tmp_path, [asked({"content": "Yes", key: "how so"})], tokenizer(CHATML))


def test_reasoning_that_later_prompts_drop_is_reported_or_trained_apart(tmp_path: Path) -> None:
    [chat] = [chat for chat in CHATS if chat.name == "Qwen 3"]
    tok = chat.tokenizer()
    rows = [asked({"content": "One", "reasoning": "first"}, {"content": "Two", "reasoning": "second"})] * 2
    corpus, lines = prepared(tmp_path, rows, tok)
    second = "<think>\nsecond\n</think>\n\nTwo<|im_end|>"
    assert trained(corpus, tok)[0] == "One<|im_end|>" + second
    assert any("drops the reasoning of earlier answers in 2 rows" in line for line in lines)
    corpus, lines = prepared(tmp_path, rows[:1], tok, chat={"split": "always"})
    assert trained(corpus, tok) == ["<think>\nfirst\n</think>\n\nOne<|im_end|>", second]
    assert not any("drops the reasoning" in line for line in lines)


def test_split_never_trains_what_one_sample_holds_and_reports_the_rest(tmp_path: Path) -> None:
    [chat] = [chat for chat in CHATS if chat.name == "Mistral v0.3"]
    tok = chat.tokenizer()
    row = asked({"content": "One"}, {"content": "Two"})
    row["messages"].insert(0, {"role": "system", "content": "Be short."})
    corpus, lines = prepared(tmp_path, [row], tok)
    assert len(corpus.train) == 2
    assert any("several samples are made of each conversation in 1 row" in line for line in lines)
    corpus, lines = prepared(tmp_path, [row], tok, chat={"split": "never"})
    assert len(corpus.train) == 1
    assert any("context only" in line for line in lines)


def test_special_tokens_in_contents_are_reported_unless_the_spec_decides(tmp_path: Path) -> None:
    tok = tokenizer(THINKING)
    tok.add_special_tokens({"extra_special_tokens": ["<fim_middle>"]})
    rows = [
        asked({"content": "a <fim_middle> b"}),
        asked({"content": "c <|im_end|> d"}),
        asked({"content": "<think>\nx\n</think>\n\ny"}),
    ]
    _, lines = prepared(tmp_path, rows, tok)
    assert len(lines) == 2
    assert any(
        "contents of 1 row contain special tokens" in line and line.endswith(":1: <fim_middle>)")
        for line in lines
    )
    assert any(
        "control tokens of the chat format" in line and line.endswith(":2: <|im_end|>)") for line in lines
    )
    middle, end = (int(tok.convert_tokens_to_ids(text)) for text in ("<fim_middle>", "<|im_end|>"))
    for setting, middles, ends in (("auto", 1, 1), ("text", 0, 1), ("token", 1, 2)):
        corpus, lines = prepared(tmp_path, rows, tok, data={"special_tokens": setting})
        assert (lines == []) == (setting != "auto")
        assert corpus.train[0].tokens.tolist().count(middle) == middles
        assert corpus.train[1].tokens[corpus.train[1].loss_mask].tolist().count(end) == ends


def test_special_tokens_of_texts_are_tokens(tmp_path: Path) -> None:
    tok = tokenizer()
    tok.add_special_tokens({"extra_special_tokens": ["<fim_prefix>", "<fim_middle>", "<fim_suffix>"]})
    texts = ["<fim_prefix>def f():\n<fim_suffix>\n<fim_middle>x", "a<fim_middle>b", "plain"]
    corpus, lines = prepared(tmp_path, [{"text": text} for text in texts], tok, task={"format": "text"})
    for number, text in enumerate(texts):
        assert corpus.train[number].tokens.tolist() == [*tok(text)["input_ids"], tok.eos_token_id]
    assert len(lines) == 1
    assert "contents of 2 rows contain special tokens, which are read as tokens" in lines[0]


def test_the_prompt_of_a_completion_is_read_and_not_trained(tmp_path: Path) -> None:
    tok = tokenizer()
    corpus, _ = prepared(
        tmp_path, [{"prompt": "def f():\n", "completion": "    pass"}], tok, task={"format": "text"}
    )
    assert trained(corpus, tok) == ["    pass</s>"]
    assert tok.decode(corpus.train[0].tokens) == "def f():\n    pass</s>"
