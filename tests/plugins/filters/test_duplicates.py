"""Duplicates: the same, the same but for layout, and almost the same."""

import random
from collections.abc import Callable
from typing import Any

import pytest

QUESTION = "Write a function that returns the largest of the numbers in a list, and None for an empty one."
CODE = "def largest(numbers):\n    if not numbers:\n        return None\n    best = numbers[0]\n    for number in numbers:\n        best = max(best, number)\n    return best\n"
RELAID = CODE.replace("    ", "\t").replace(", ", ",").replace("\n\t", "\n\n\t")


def pair(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"prompt": question, "answer": answer, **more}


def test_exact_duplicates_leave_the_first_whatever_the_format_and_the_id(
    pass_through: Callable[..., Any],
) -> None:
    rows = [
        pair(QUESTION, CODE, id=1),
        {
            "id": 2,
            "messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": CODE}],
        },
        pair(QUESTION, RELAID, id=3),
        pair(QUESTION, CODE.replace("best", "most"), id=4),
        {"text": CODE},
    ]
    found = pass_through("exact-duplicates", rows)
    assert found.kept == [rows[0], rows[3], rows[4]]
    assert [(row["id"], reason, detail) for row, reason, detail in found.dropped] == [
        (2, "duplicates an earlier row", "id 1"),
        (3, "duplicates an earlier row", "id 1"),
    ]
    assert len(pass_through("exact-duplicates", rows, ignore_space=False).kept) == 4
    assert len(pass_through("exact-duplicates", rows, part="question").kept) == 2
    assert len(pass_through("exact-duplicates", rows, part="answer").kept) == 2


def test_near_duplicates_are_those_over_the_threshold(pass_through: Callable[..., Any]) -> None:
    changed = CODE.replace("best = max(best, number)", "best = max(number, best)")
    rows = [
        pair(QUESTION, CODE, id="a"),
        pair(QUESTION, RELAID),
        pair(QUESTION, changed),
        pair("Sort a list.", "sorted(x)"),
    ]
    found = pass_through("near-duplicates", rows, threshold=0.7)
    assert found.kept == [rows[0], rows[3]]
    assert [detail for _, _, detail in found.dropped] == ["100% similar to id a", "79% similar to id a"]
    assert pass_through("near-duplicates", rows, threshold=0.9).kept == [rows[0], rows[2], rows[3]]


def test_the_share_is_that_of_all_pairs_compared(pass_through: Callable[..., Any]) -> None:
    """MinHash only proposes: what is dropped is what a comparison of all pairs drops."""
    drawn = random.Random(5)
    words = [f"w{number}" for number in range(300)]
    texts = []
    for _ in range(60):
        base = drawn.choices(words, k=60)
        texts.append(" ".join(base))
        for changes in (1, 3, 8):
            other = list(base)
            for place in drawn.sample(range(60), changes):
                other[place] = drawn.choice(words)
            texts.append(" ".join(other))

    def shingles(text: str) -> set[tuple[str, ...]]:
        tokens = text.split()
        return {tuple(tokens[i : i + 3]) for i in range(len(tokens) - 2)}

    kept: list[set[tuple[str, ...]]] = []
    expected = 0
    for text in texts:
        mine = shingles(text)
        if any(len(mine & other) / len(mine | other) >= 0.6 for other in kept):
            expected += 1
        else:
            kept.append(mine)
    rows = [{"text": text} for text in texts]
    found = pass_through("near-duplicates", rows, threshold=0.6, shingle=3)
    assert len(found.dropped) == expected > 60


def test_short_rows_and_rows_without_a_token(pass_through: Callable[..., Any]) -> None:
    rows = [{"text": "x = 1"}, {"text": "x=1"}, {"text": "x = 2"}, {"text": "\u200b"}, {"text": "\u200b"}]
    assert pass_through("near-duplicates", rows, threshold=1.0).kept[:2] == [rows[0], rows[2]]


def test_without_the_package_it_says_how_to_get_it(
    pass_through: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    import mftkit

    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(
        mftkit.MftError, match=r"needs the package datasketch.*pip install 'mftkit\[generate\]'"
    ):
        pass_through("near-duplicates", [{"text": "x"}])
