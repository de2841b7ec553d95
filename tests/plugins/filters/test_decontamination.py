"""References planted among rows, as they are, laid out and named anew, are caught; others stay."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.chat_client.cache_key import options_identity
from mftkit_plugins.filters.decontamination import Decontamination
from references import HUMANEVAL, OTHER, PROBLEM, humaneval
from renaming import renamed, respaced, without_docstrings

INNOCENT = [
    ("Write a function that adds two numbers.", "def add(a, b):\n    return a + b\n"),
    ("Count the words of a text.", "```python\ndef count(text):\n    return len(text.split())\n```"),
    ("Numbers: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "They are 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15."),
    ("Zip two lists.", "def pairs(one, other):\n    return [(a, b) for a, b in zip(one, other)]\n"),
]


def pair(question: str, answer: str) -> dict[str, str]:
    return {"prompt": question, "answer": answer}


def write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def planted(problem: dict[str, str]) -> dict[str, dict[str, str]]:
    """The ways in which a problem gets among rows."""
    prompt, solution = problem["prompt"], problem["canonical_solution"]
    other_names = renamed(prompt, solution)
    [docstring] = re.findall(r'"""(.*?)"""', prompt, re.DOTALL)
    return {
        "as it is": pair(prompt, solution),
        "in one answer": pair("Show me some code.", f"Here:\n\n```python\n{prompt}{solution}```\n"),
        "laid out anew": pair(respaced(prompt), respaced(solution)),
        "named anew": pair(*other_names),
        "named and laid out anew": pair(*map(respaced, other_names)),
        "the question alone": pair(" ".join(docstring.split()), "I do not know."),
        "the code alone": pair("Write it.", f"```python\n{without_docstrings(prompt + solution)}\n```"),
        "the code alone, named anew": pair("Write it.", without_docstrings("".join(other_names))),
    }


@pytest.mark.parametrize("way", planted(PROBLEM))
def test_a_planted_reference_is_caught(way: str, pass_through: Callable[..., Any], tmp_path: Path) -> None:
    references = write(tmp_path / "own.jsonl", [OTHER, PROBLEM])
    rows = [*(pair(*text) for text in INNOCENT), planted(PROBLEM)[way]]
    found = pass_through("decontamination", rows, references=[references])
    assert found.kept == rows[:-1]
    [(_, _, detail)] = found.dropped
    assert detail.startswith("Own/0, ")
    assert found.counts["references"] == 2


@pytest.mark.parametrize(
    ("measure", "caught"),
    [
        ("bleu", {"as it is", "the question alone", "named anew"}),
        ("words", {"as it is", "laid out anew", "the question alone"}),
        ("code", {"as it is", "named and laid out anew", "the code alone, named anew", "in one answer"}),
    ],
)
def test_each_measure_by_itself(
    measure: str, caught: set[str], pass_through: Callable[..., Any], tmp_path: Path
) -> None:
    references = write(tmp_path / "own.jsonl", [PROBLEM])
    off = {name: None for name in ("bleu", "words", "code") if name != measure}
    ways = planted(PROBLEM)
    found = pass_through("decontamination", list(ways.values()), references=[references], **off)
    assert caught <= {name for name, row in ways.items() if row not in found.kept}
    assert len(found.reasons) == 1
    innocent = [pair(*text) for text in INNOCENT]
    assert pass_through("decontamination", innocent, references=[references], **off).kept == innocent


def test_references_of_any_field_and_gzipped(pass_through: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl.gz"
    text = "Which of the rivers of this country reaches the sea in the west, and where does it come from?"
    path.write_bytes(gzip.compress((json.dumps({"name": 1, "ask": text}) + "\n").encode()))
    rows = [pair(text.replace(" ", "\n", 3), "The long one."), pair("Which rivers are there?", "Two.")]
    found = pass_through("decontamination", rows, references=["texts.jsonl.gz"], field="ask")
    assert found.kept == rows[1:]
    assert found.dropped[0][2].startswith("texts.jsonl.gz:1, ")


def test_references_that_cannot_be_used_are_reported(
    pass_through: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(mftkit.MftError, match=r"none\.jsonl: cannot be read"):
        pass_through("decontamination", [], references=["none.jsonl"])
    path = write(tmp_path / "own.jsonl", [PROBLEM, {"question": "x"}])
    with pytest.raises(
        mftkit.MftError, match=r"own\.jsonl:2: 'prompt' is missing or not a string \(keys given: 'question'\)"
    ):
        pass_through("decontamination", [], references=[path])
    with pytest.raises(mftkit.MftError, match=r"own\.jsonl:1: 'ask' is missing"):
        pass_through("decontamination", [], references=[path], field="ask")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(mftkit.MftError, match=r"empty\.jsonl: contains no references"):
        pass_through("decontamination", [], references=["empty.jsonl"])
    short = write(tmp_path / "short.jsonl", [{"ask": "Why?"}])
    assert pass_through("decontamination", [], references=[short], field="ask").notes == [
        "1 references are too short to be found (short.jsonl:1)"
    ]


def test_another_content_of_the_references_is_another_identity(tmp_path: Path) -> None:
    def identity() -> object:
        return options_identity(Decontamination.Options(references=(tmp_path / "own.jsonl",)))

    write(tmp_path / "own.jsonl", [PROBLEM])
    before = identity()
    assert identity() == before
    write(tmp_path / "own.jsonl", [OTHER])
    assert identity() != before


@pytest.mark.skipif(not HUMANEVAL.exists(), reason="HumanEval (../shared/data/humaneval) is not here")
def test_humaneval_is_caught_as_it_is_laid_out_and_named_anew(pass_through: Callable[..., Any]) -> None:
    problems = humaneval()
    assert len(problems) == 164
    rows, innocent = [], [pair(*text) for text in INNOCENT]
    for problem in problems:
        prompt, solution = problem["prompt"], problem["canonical_solution"]
        other = renamed(prompt, solution)
        rows += [pair(prompt, solution), pair(respaced(prompt), respaced(solution)), pair(*other)]
        rows.append(pair(*map(respaced, other)))
    found = pass_through("decontamination", rows + innocent, references=[str(HUMANEVAL)])
    assert found.kept == innocent
