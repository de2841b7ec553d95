"""What generators that ask a model read: files of topics and of seed tasks, and what stands in a reply."""

import json
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.plugins import installed, kinds
from mftkit_plugins.generators import chat_requests
from mftkit_plugins.generators.chat_requests import BadReply, code_block, json_list
from mftkit_plugins.generators.code_exercises.topics import read_topics
from mftkit_plugins.generators.self_instruct.seeds import read_seeds
from mftkit_plugins.generators.self_instruct.similarity import Pool, rouge_l

SEED = {"instruction": "Explain to a friend what a list is.", "output": "a row of values"}


def test_the_topics_that_come_with_it_are_many_and_distinct() -> None:
    python = read_topics(None)
    assert python.language == "Python"
    assert len(python.topics) == len(set(python.topics)) >= 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "expected an object with language and topics"),
        ('{"topics": {"a": ["b"]}}', "language is missing"),
        ('{"language": "Go", "topics": {}}', "contains no topics"),
        ('{"language": "Go", "topics": {"a": "b"}}', "topics.a must be a list of strings"),
        ('{"language": "Go", "topics": {"a": ["b", "b"]}}', "given twice: a: b"),
        ('{"language": "Go", "topics": {"a": ["b"]}, "level": 1}', "unknown keys level"),
    ],
)
def test_a_file_that_is_no_file_of_topics_is_reported(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "topics.json"
    path.write_text(text)
    with pytest.raises(mftkit.MftError, match=said):
        read_topics(path)


def test_templates_are_checked() -> None:
    for wrong, said in (("no place", "{topic} is missing"), ("{topic} {lang}", "only {topic}")):
        with pytest.raises(ValueError, match=said):
            installed.build(kinds.DATA_GENERATOR, "code-exercises", {"model": "local", "templates": [wrong]})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"seeds.jsonl:2: not valid JSON"),
        ("[]", r"seeds.jsonl:2: a seed task must be a JSON object"),
        ('{"instruction": "x"}', r"seeds.jsonl:2: 'output' is missing"),
        ('{"instruction": " ", "output": "y"}', r"seeds.jsonl:2: 'instruction' is missing"),
        (
            '{"instruction": "x", "output": "y", "is_classification": "no"}',
            r"seeds.jsonl:2: 'is_classification' must be true or false",
        ),
    ],
)
def test_a_bad_seed_is_reported_with_its_line(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(json.dumps(SEED) + "\n" + line + "\n")
    with pytest.raises(mftkit.MftError, match=said):
        read_seeds(path)


def test_rouge_l_is_that_of_its_definition() -> None:
    # Lin (2004), section 3.1: S1 "police killed the gunman"; LCS of 3 of 4 words with S2, of 2 with S3
    assert rouge_l("police killed the gunman", "police kill the gunman") == 0.75
    assert rouge_l("police killed the gunman", "the gunman kill police") == 0.5
    assert rouge_l("", "") == 0.0
    pool = Pool()
    pool.add("police killed the gunman")
    assert pool.near("police kill the gunman", 0.75)
    assert not pool.near("police kill the gunman", 0.76)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"a": 1}]', [{"a": 1}]),
        ("Sure [as asked]:\n```json\n[1, 2]\n```\nDone [ok].", [1, 2]),
        ('[{"a": "x]"}] trailing', [{"a": "x]"}]),
    ],
)
def test_a_list_is_found_in_a_reply(text: str, found: list[Any]) -> None:
    assert json_list(text) == found


@pytest.mark.parametrize("text", ["", "none", "[1, 2", "[]", "{}"])
def test_what_is_no_list_is_a_bad_reply(text: str) -> None:
    with pytest.raises(BadReply, match="wrong format"):
        json_list(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nx = 1\n```", "x = 1"),
        ("So:\n\n```py\nx = 1\n```\nwhich gives\n```\nxx = 22\nyy = 3\n```", "x = 1"),
        ("<think>\n```py\ndef long(): return 0\n```\n</think>\n```py\nx = 1\n```", "x = 1"),
        ("````md\n```\ninner\n```\n````", "```\ninner\n```"),
        ("```python\n\n  x = 1\n", "  x = 1"),
    ],
)
def test_the_code_of_a_reply(text: str, code: str) -> None:
    assert code_block(text, "Python") == code


@pytest.mark.parametrize("text", ["", "I cannot do that.", "`x`", "```python\n```", "```x = 1```"])
def test_without_a_block_there_is_no_code(text: str) -> None:
    with pytest.raises(BadReply, match="no code"):
        code_block(text, "Python")


def test_a_model_is_named_without_its_place() -> None:
    local = installed.build(
        kinds.DATA_GENERATOR,
        "camel",
        {"topics": ["a"], "model": {"name": "local", "options": {"path": "/a/b/tiny"}}},
    )
    assert chat_requests.model_name(local.options.model) == "tiny"
