"""``mft data show SPEC``: what the model reads, against the tokenizer's own rendering and the run's own data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from data_path import CHATML, THINKING, tokenizer
from fim_tokenizers import FAMILIES, fim_tokenizer
from mftkit.data.corpus import prepare
from mftkit.spec import load_spec
from recorder import Recorder
from templates.conversations import WEATHER, call, result, turn
from templates.table import CHATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fixture_types import Mft

    WriteSpec = Callable[..., Path]

PAIRS = [
    ("Add two numbers.", "def add(a, b):\n    return a + b\n"),
    ("Print.", "print(i)"),
    ("Hé 😀", "漢字"),
]


def chat(*turns: Any, **more: Any) -> dict[str, Any]:
    """A row of alternating turns; a dict stands for itself."""
    messages = [
        given if isinstance(given, dict) else {"role": ("user", "assistant")[place % 2], "content": given}
        for place, given in enumerate(turns)
    ]
    return {"messages": messages, **more}


def shown(mft: Mft, *arguments: str) -> Any:
    done = mft("data", "show", "spec.json", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def text(mft: Mft, *arguments: str) -> str:
    done = mft("data", "show", "spec.json", *arguments)
    assert done.returncode == 0, done.stderr
    out: str = done.stdout
    return out


def ids(tokens: list[dict[str, Any]], *, in_loss: bool = False) -> list[int]:
    return [number for token in tokens if token["in_loss"] or not in_loss for number in token["ids"]]


def test_a_yaml_spec_shows_the_same(mft: Mft, write_spec: WriteSpec) -> None:
    path = write_spec({"code": [chat(*pair) for pair in PAIRS]})
    as_yaml = path.with_suffix(".yaml")
    as_yaml.write_text(f"# a comment\n{path.read_text('utf-8')}", "utf-8")
    expected = shown(mft)
    done = mft("data", "show", as_yaml.name, "--json", "--task", "code")
    assert done.returncode == 0, done.stderr
    assert {**json.loads(done.stdout), "spec": None} == {**expected, "spec": None}


@pytest.mark.parametrize("pair", PAIRS, ids=range(len(PAIRS)))
def test_the_tokens_are_the_template_s_and_the_answer_is_in_the_loss(
    mft: Mft, write_spec: WriteSpec, pair: tuple[str, str]
) -> None:
    write_spec({"chat": [chat(*pair)]})
    [sample] = shown(mft)["tasks"][0]["samples"]
    tok = tokenizer(CHATML)
    messages = chat(*pair)["messages"]
    assert ids(sample["tokens"]) == tok.apply_chat_template(messages, return_dict=False)
    prompt = tok.apply_chat_template(messages[:1], add_generation_prompt=True, return_dict=False)
    rest = ids(sample["tokens"])[len(prompt) :]
    assert (
        ids(sample["tokens"], in_loss=True) == rest[:-1]
    )  # the line break after the stop is not in the loss
    assert (sample["length"], sample["loss_tokens"]) == (len(prompt) + len(rest), len(rest) - 1)
    assert "".join(token["text"] for token in sample["tokens"]) == tok.apply_chat_template(
        messages, tokenize=False
    )


def test_the_samples_are_those_of_the_run(mft: Mft, write_spec: WriteSpec) -> None:
    rows = [chat(*pair) for pair in PAIRS]
    spec = write_spec({"chat": rows, "code": ([{"text": answer} for _, answer in PAIRS], {"format": "text"})})
    view = shown(mft, "--rows", "9")
    corpus = prepare(load_spec(spec), tokenizer(CHATML), Recorder())
    samples = [sample for task in view["tasks"] for sample in task["samples"]]
    assert len(samples) == len(corpus.train) == 6
    for index, sample in enumerate(samples):
        assert ids(sample["tokens"]) == corpus.train[index].tokens.tolist()
        in_loss = corpus.train[index].tokens[corpus.train[index].loss_mask]
        assert ids(sample["tokens"], in_loss=True) == in_loss.tolist()
        assert sample["place"] == corpus.train.origin(index)


def test_without_colors_the_loss_stands_in_brackets_and_beside_a_bar(mft: Mft, write_spec: WriteSpec) -> None:
    write_spec({"chat": [chat("Add.\tNow  \nplease", "a\n  b "), chat("ab", "x")]})
    out = text(mft)
    assert "\x1b" not in out
    assert (
        "  <|im_start|>user⏎\n  Add.⇥Now␣␣⏎\n  please<|im_end|>⏎\n  <|im_start|>assistant⏎\n"
        "▌ ⟦a⏎\n▌   b␣<|im_end|>⟧⏎\n"
    ) in out
    assert "▌ ⟦x<|im_end|>⟧⏎\n" in out
    assert out.count("⟦") == out.count("⟧") == 3  # the legend's and one of each sample
    assert "14 tokens" not in out.split("size")[0]


def test_marks_cannot_be_confused_with_contents(mft: Mft, write_spec: WriteSpec) -> None:
    contents = "⟦x⟧ ⏎ ⇥ ␣ \x1b[31mred \x07 <|im_end|> </s>"
    write_spec({"chat": [chat(contents, f"y{contents}")]})
    out = text(mft)
    escaped = r"\u27e6x\u27e7 \u23ce \u21e5 \u2423 \x1b[31mred \x07 \<|im_end|> \</s>"
    assert f"  {escaped}<|im_end|>⏎\n" in out
    assert f"▌ ⟦y{escaped}<|im_end|>⟧⏎\n" in out
    assert "\x1b" not in out
    assert "\x07" not in out
    [sample] = shown(mft)["tasks"][0]["samples"]
    added = [token["text"] for token in sample["tokens"] if token["added"]]
    assert added == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]


def test_weights_and_turns_that_are_context_only(mft: Mft, write_spec: WriteSpec) -> None:
    first = {"role": "assistant", "content": "One.", "weight": 0}
    second = {"role": "assistant", "content": "Two.", "train": False}
    write_spec({"chat": [chat("a", first, "b", "Three.", weight=0.5), chat("a", second, "b", "Three.")]})
    out = text(mft)
    assert "16 in the loss" not in out
    assert ", weight 0.5\n" in out
    assert out.count("2 assistant (weight 0: context only), 3 user, 4 assistant (in the loss)") == 2
    assert out.count("turn 4, answer, ") == 2
    assert out.count("  One.<|im_end|>⏎\n") == out.count("  Two.<|im_end|>⏎\n") == 1
    assert out.count("▌ ⟦Three.<|im_end|>⟧⏎") == 2


def test_answers_of_different_weights_are_samples_with_their_turns(mft: Mft, write_spec: WriteSpec) -> None:
    half = {"role": "assistant", "content": "Same.", "weight": 0.5}
    write_spec({"chat": [chat("a", half, "b", "Same.")]})
    samples = shown(mft)["tasks"][0]["samples"]
    assert [(sample["number"], sample["of"], sample["weight"]) for sample in samples] == [
        (1, 2, 0.5),
        (2, 2, 1.0),
    ]
    assert [[answer["turn"] for answer in sample["answers"]] for sample in samples] == [[2], [4]]
    assert [[turn["in_loss"] for turn in sample["turns"]] for sample in samples] == [
        [False, True, False, False],
        [False, False, False, True],
    ]
    assert "sample 2 of 2" in text(mft)


def test_each_kind_of_answer_is_shown_with_what_ends_it(mft: Mft, write_spec: WriteSpec) -> None:
    [qwen] = [chat for chat in CHATS if chat.name == "Qwen 3"]
    rows = [
        {
            "messages": [
                turn("user", "Weather?"),
                turn("assistant", None, tool_calls=[call(1, "weather", {"city": "Oslo"})]),
                result(1, "cold"),
                turn("assistant", "It is cold.", reasoning_content="Say it."),
            ],
            "tools": [WEATHER],
        }
    ]
    write_spec({"tools": rows}, tok=qwen.tokenizer(), max_length=2048)
    view = shown(mft)
    [sample] = view["tasks"][0]["samples"]
    assert [(answer["turn"], answer["kind"], answer["ends_with"]) for answer in sample["answers"]] == [
        (2, "tool call", "<|im_end|>"),
        (4, "answer with reasoning", "<|im_end|>"),
    ]
    assert [turn["role"] for turn in sample["turns"]] == ["user", "assistant", "tool", "assistant"]
    assert view["tasks"][0]["stops"] == ["tool call: <|im_end|> (1)", "answer with reasoning: <|im_end|> (1)"]


def test_rows_that_become_several_samples_are_shown_with_all_of_them(mft: Mft, write_spec: WriteSpec) -> None:
    rows = [chat("a", "Two.", "b", "<think>\nx\n</think>\n\nFour."), chat("a", "Two.")]
    write_spec({"chat": rows}, tok=tokenizer(THINKING), chat={"split": "always"})
    samples = shown(mft, "--rows", "1")["tasks"][0]["samples"]
    assert [(sample["number"], sample["of"]) for sample in samples] == [(1, 2), (2, 2)]
    assert [[answer["turn"] for answer in sample["answers"]] for sample in samples] == [[2], [4]]
    assert samples[0]["place"] == samples[1]["place"]


def test_what_max_length_cuts_off_is_counted_and_shown_where(mft: Mft, write_spec: WriteSpec) -> None:
    write_spec({"chat": [chat("ab", "x = 1\n" * 30), chat("a", "b")]}, max_length=40)
    sample, other = shown(mft)["tasks"][0]["samples"]
    whole = tokenizer(CHATML).apply_chat_template(chat("ab", "x = 1\n" * 30)["messages"], return_dict=False)
    assert (sample["length"], sample["cut"]) == (40, len(whole) - 40)
    assert sample["answers"][0]["stop_is_cut"]
    assert (other["cut"], other["answers"][0]["stop_is_cut"]) == (0, False)
    out = text(mft)
    assert f"✂ cut here: {len(whole) - 40} tokens beyond max_length 40: " in out
    assert "cut off before its end <|im_end|>, so the model does not learn to stop here" in out
    assert out.count("✂") == 1


def test_a_row_is_found_by_its_number_and_by_its_place(
    mft: Mft, write_spec: WriteSpec, tmp_path: Path
) -> None:
    rows = [chat(f"question {number}", f"answer {number}") for number in range(6)]
    write_spec({"chat": (rows, {"valid": 0.5}), "other": rows[:1]})
    uses = set()
    for number in (1, 4, 6):
        [sample] = shown(mft, "--task", "chat", "--row", str(number))["tasks"][0]["samples"]
        assert sample["place"] == f"{tmp_path}/chat.jsonl:{number}"
        assert f"answer {number - 1}" in "".join(token["text"] for token in sample["tokens"])
    for number in range(1, 7):
        [sample] = shown(mft, "--task", "chat", "--row", str(number))["tasks"][0]["samples"]
        uses.add(sample["use"])
    assert uses == {"training", "validation"}
    for place in ("chat.jsonl:5", f"{tmp_path}/chat.jsonl:5"):
        tasks = shown(mft, "--row", place)["tasks"]
        assert [[sample["place"] for sample in task["samples"]] for task in tasks] == [
            [f"{tmp_path}/chat.jsonl:5"],
            [],
        ]


def test_a_validation_file_s_row_and_a_dropped_row_are_shown(
    mft: Mft, write_spec: WriteSpec, tmp_path: Path
) -> None:
    (tmp_path / "held.jsonl").write_text(json.dumps(chat("held", "out", weight=3)) + "\n")
    rows = [chat("a", "b"), chat("c", "x = 1\n" * 90)]
    write_spec({"chat": (rows, {"valid": ["held.jsonl"]})}, data={"overlong": "drop"}, max_length=64)
    [sample] = shown(mft, "--row", "held.jsonl:1")["tasks"][0]["samples"]
    assert (sample["use"], "held" in "".join(token["text"] for token in sample["tokens"])) == (
        "validation",
        True,
    )
    assert "weight 3, which validation ignores" in text(mft, "--row", "held.jsonl:1")
    [sample] = shown(mft, "--row", "2")["tasks"][0]["samples"]
    assert sample["use"] == "dropped: longer than max_length"


def test_texts_have_no_turns_and_end_with_the_end_of_text(mft: Mft, write_spec: WriteSpec) -> None:
    write_spec({"code": ([{"text": "x = 1\n"}, {"text": "print(2)"}], {"format": "text"})})
    view = shown(mft)
    assert view["tasks"][0]["chat"] == ""
    for sample in view["tasks"][0]["samples"]:
        assert (sample["turns"], [answer["ends_with"] for answer in sample["answers"]]) == ([], ["</s>"])
        assert sample["loss_tokens"] == sample["length"] - 1  # all but the first, which has no predecessor
    assert "in the loss  " in text(mft)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("loss", "splits"), [("all", 1), ("middle", 3)])
def test_a_text_with_its_middle_moved_is_shown_as_the_first_epoch_has_it(
    mft: Mft, write_spec: WriteSpec, family: str, loss: str, splits: int
) -> None:
    rows = [{"text": f"def add_{number}(a, b):\n    return a + b\n" * number} for number in range(1, 7)]
    options = {"rate": 1, "loss": loss, "splits": splits}
    tok = fim_tokenizer(family)
    spec = write_spec({"code": (rows, {"format": {"name": "fim", "options": options}})}, tok=tok)
    [task] = shown(mft, "--rows", "9")["tasks"]
    corpus = prepare(load_spec(spec), tok, Recorder())
    assert (len(task["samples"]), task["rows"], task["variants"]) == (6, 6, splits)
    for index, sample in enumerate(task["samples"]):
        assert sample["place"].endswith(f"code.jsonl:{index + 1}")
        assert ids(sample["tokens"]) == corpus.train[index].tokens.tolist()
        in_loss = corpus.train[index].tokens[corpus.train[index].loss_mask]
        assert ids(sample["tokens"], in_loss=True) == in_loss.tolist()
        added = [token["text"] for token in sample["tokens"] if token["added"]]
        assert set(FAMILIES[family][:3]) <= set(added)
        [answer] = sample["answers"]
        assert (answer["turn"], answer["kind"], answer["ends_with"]) == (None, "middle", FAMILIES[family][3])
    assert (f"{splits} of each sample, one for each epoch in turn" in text(mft)) is (splits > 1)


def test_the_borders_of_a_packed_row_are_shown(mft: Mft, write_spec: WriteSpec) -> None:
    rows = [chat(f"q{number}", "x" * number) for number in range(1, 9)]
    write_spec({"chat": rows[:5], "other": rows[5:]}, max_length=200)
    row = shown(mft)["packed"]
    assert len(row["samples"]) > 1
    assert {sample["task"] for sample in row["samples"]} == {"chat", "other"}
    start = 0
    for sample in row["samples"]:
        assert (sample["start"], sample["first_position"]) == (start, 0)
        assert len(ids(sample["tokens"])) == sample["length"]
        start += sample["length"]
    assert row["length"] == start <= 200
    out = text(mft)
    for number, sample in enumerate(row["samples"], 1):
        end = sample["start"] + sample["length"] - 1
        border = f"┆ {number} {sample['task']}, {Path(sample['place']).name}: places {sample['start']} to {end} of the row, "
        assert f"{border}positions 0 to {sample['length'] - 1}" in out


def test_shared_attention_and_a_mode_of_single_samples(mft: Mft, write_spec: WriteSpec) -> None:
    rows = [chat(f"q{number}", "x") for number in range(8)]
    write_spec({"chat": rows}, tokenization={"name": "pack", "options": {"attention": "shared"}})
    row = shown(mft)["packed"]
    assert [sample["first_position"] for sample in row["samples"]] == [
        sample["start"] for sample in row["samples"]
    ]
    assert "a sample sees the earlier ones, and positions continue" in text(mft)
    write_spec({"chat": rows}, tokenization="padding")
    assert shown(mft)["packed"] is None
    assert "tokenization padding: each row holds one sample" in text(mft)


def test_the_header_has_what_the_preparation_reported(
    mft: Mft, write_spec: WriteSpec, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").touch()
    rows = [chat("a", "b", url="x"), chat("a", "b", url="y")]
    write_spec({"chat": (rows, {"train": ["chat.jsonl", "empty.jsonl"]}), "other": [chat("a", "b")]})
    done = mft("data", "show", "spec.json")
    [head, other] = done.stdout.split("task other")
    for report in (
        "keys not used: url (2 rows)",
        "1 rows repeat an earlier one",
        "empty.jsonl: contains no rows",
    ):
        assert head.count(report) == 1
        assert report not in other
        assert report not in done.stderr
    assert "chat template of the tokenizer" in head
    markers = text(mft, "--set", "chat.format=markers")
    assert "markers <s>system⏎ <s>human⏎ <s>bot⏎ </s>" in markers


@pytest.mark.parametrize(
    ("row", "data"),
    [({"prompt": 1, "answer": "x"}, {}), (chat("a"), {}), (chat("a", "b" * 900), {"overlong": "error"})],
)
def test_bad_data_gets_the_message_of_a_run(mft: Mft, write_spec: WriteSpec, row: Any, data: Any) -> None:
    write_spec({"chat": [chat("a", "b"), row]}, data=data)
    run = mft("run", "spec.json", "--dry-run")
    done = mft("data", "show", "spec.json")
    assert (done.returncode, run.returncode, done.stdout) == (2, 2, "")
    assert "chat.jsonl:2: " in done.stderr
    assert done.stderr.split("error: ")[1] == run.stderr.split("error: ")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "chta"], "--task chta: the spec has no such task (its tasks: chat)"),
        (["--row", "3"], "--row 3: task chat has the rows 1 to 2"),
        (["--row", "0"], "--row 0: task chat has the rows 1 to 2"),
        (["--row", "chat.jsonl:9"], "--row chat.jsonl:9: no data row"),
        (["--row", "last"], "--row last: expected the number of a row, from 1, or PATH:LINE"),
        (["--row", "1", "--rows", "1"], "--rows: not together with --row"),
        (["--sample", "5"], "--sample: only for data files; spec.json is a spec"),
        (["--html", "."], "--html: . is a directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_one_message(
    mft: Mft, write_spec: WriteSpec, arguments: list[str], message: str
) -> None:
    write_spec({"chat": [chat("a", "b"), chat("c", "d")]})
    done = mft("data", "show", "spec.json", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--task=a", "--rows=2", "--row=1", "--html=a.html", "--set=seed=1"])
def test_options_for_specs_are_refused_for_data_files(mft: Mft, write_spec: WriteSpec, option: str) -> None:
    write_spec({"chat": [chat("a", "b")]})
    done = mft("data", "show", "chat.jsonl", option)
    assert done.returncode == 2
    assert f"{option.split('=', maxsplit=1)[0]}: only for a spec" in done.stderr


def test_data_files_are_still_shown_turn_by_turn(mft: Mft, write_spec: WriteSpec, tmp_path: Path) -> None:
    write_spec({"chat": [chat("What?", "That.")]})
    (tmp_path / "array.json").write_text(json.dumps([chat("Why?", "So.")]))
    (tmp_path / "one.json").write_text(json.dumps({"prompt": "How?", "answer": "Thus.", "tasks": 1}))
    for name, answer in (("chat.jsonl", "That."), ("array.json", "So."), ("one.json", "Thus.")):
        done = mft("data", "show", name)
        assert done.returncode == 0, done.stderr
        assert re.search(rf"^assistant:\n{re.escape(answer)}$", done.stdout, re.MULTILINE)


def test_nothing_of_the_model_is_read_and_nothing_is_written_but_the_cache(
    mft: Mft, write_spec: WriteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    write_spec({"chat": [chat("a", "b"), chat("c", "d")]})

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was built")

    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    text(mft)
    assert {path.name for path in tmp_path.iterdir()} - before == {"cache"}
