"""``mft data``: counts and rows, read as a task's files are."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Mft

CODE = "def add(one, other):\n    total = one + other\n    return total\n"
ROWS = [
    {"id": 1, "data_name": "adding", "messages": [{"role": "user", "content": "Add numbers, please."}, {"role": "assistant", "content": CODE}]},
    {"prompt": "Add numbers, please.", "answer": CODE.replace("    ", "  ")},
    {"prompt": "Add two numbers, please.", "answer": CODE},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}, {"from": "human", "value": "Bye"}, {"from": "gpt", "value": "See \x1b[31myou"}]},
    {"text": "x = 1\n"},
]  # fmt: skip
PROBLEM = {
    "task_id": "Own/0",
    "prompt": 'def add(a, b):\n    """Gives the sum of the two numbers that it is called with, whatever their order."""\n',
    "canonical_solution": "    result = a + b\n    return result\n",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:3]))
    (tmp_path / "data" / "b.json").write_text(json.dumps(ROWS[3:], indent=1))
    return tmp_path / "data"


def test_stats_count_and_compare(mft: Mft, data: Path) -> None:
    done = mft("data", "stats", "data", "--near", "0.7", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert (counts["rows"], counts["bad"]["rows"]) == (5, 0)
    assert counts["formats"] == {"prompt/answer": 2, "messages": 1, "conversations": 1, "text": 1}
    assert counts["answers_in_a_row"] == {"1": 4, "2": 1}
    assert counts["lengths"]["question characters"]["most"] == len("Add two numbers, please.")
    assert counts["lengths"]["answer characters"]["least"] == len("x = 1\n")
    assert counts["exact_repeats"] == {
        "rows": 1,
        "samples": ["data/a.jsonl:2 duplicates an earlier row: data/a.jsonl:1"],
    }
    assert counts["near_repeats"]["rows"] == 1
    assert re.fullmatch(
        r"data/a\.jsonl:3 nearly duplicates an earlier row: \d+% similar to data/a\.jsonl:1",
        counts["near_repeats"]["samples"][0],
    )
    assert counts["contaminated"] is None


def test_tables_and_saved_data_sets_are_counted_by_their_places(mft: Mft, tmp_path: Path) -> None:
    import datasets  # type: ignore[import-untyped]

    rows = [
        {"prompt": "a", "answer": "x = 1"},
        {"prompt": "b\nc", "answer": "x = 1"},
        {"prompt": "a", "answer": "x = 1"},
    ]
    (tmp_path / "a.csv").write_text('prompt,answer\n"b\nc",x = 1\na,x = 1\n')
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    done = mft("data", "stats", "a.csv", "saved", "--near", "0", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert (counts["rows"], counts["exact_repeats"]["rows"]) == (5, 3)
    assert counts["exact_repeats"]["samples"][0] == "saved:1 duplicates an earlier row: a.csv:4"
    (tmp_path / "a.xml").touch()
    done = mft("data", "stats", "a.xml")
    assert done.returncode == 2
    assert ".csv, .csv.gz, .tsv, .tsv.gz" in done.stderr


def test_stats_find_what_repeats_a_reference(mft: Mft, data: Path, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl.gz").write_bytes(gzip.compress(json.dumps(PROBLEM).encode()))
    done = mft("data", "stats", "data/a.jsonl", "--references", "own.jsonl.gz", "--json")
    found = json.loads(done.stdout)["contaminated"]
    assert found["rows"] == 3
    assert found["samples"][0].startswith("data/a.jsonl:1 has the code of a reference: Own/0, ")
    plain = mft("data", "stats", "data/a.jsonl", "--references", "own.jsonl.gz")
    assert "contaminated      3" in plain.stdout
    assert "length" in plain.stdout
    done = mft("data", "stats", "data/a.jsonl", "--field", "x")
    assert (done.returncode, "--references" in done.stderr) == (2, True)


def test_stats_ask_the_filters_that_are_named(mft: Mft, data: Path) -> None:
    formed = {"name": "well-formed", "options": {"max_answer": 20}}
    near = {"name": "near-duplicates", "options": {"threshold": 0.7}}
    done = mft(
        "data", "stats", "data", "--filter", json.dumps(formed), "--filter", json.dumps(near), "--json"
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["filters"]["well-formed"] == {
        "rows": 3,
        "samples": [f"data/a.jsonl:{line} the answer is too long" for line in (1, 2, 3)],
        "reasons": {"the answer is too long": 3},
    }
    default = json.loads(mft("data", "stats", "data", "--near", "0.7", "--json").stdout)
    assert counts["near_repeats"] == default["near_repeats"]
    assert default["filters"] == {}
    plain = mft("data", "stats", "data", "--filter", "well-formed", "--near", "0").stdout
    assert "dropped by well-formed  0" in plain
    assert "near duplicates         not counted" in plain


def test_stats_without_filters(mft: Mft, data: Path) -> None:
    counts = json.loads(mft("data", "stats", "data", "--json", MFT_BLOCK_PLUGINS="filters").stdout)
    assert (counts["rows"], counts["exact_repeats"], counts["near_repeats"]) == (5, None, None)
    done = mft("data", "stats", "data", "--references", "data/a.jsonl", MFT_BLOCK_PLUGINS="filters")
    assert (done.returncode, "no installed filter compares rows with references" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("near-duplicats", 'unknown data-filter (given: "near-duplicats")'),
        ('{"name": "near-duplicates", "options": {"treshold": 1}}', 'did you mean "threshold"?'),
        ('{"name"', "not valid JSON"),
        ("decontamination", "options.references: is missing"),
    ],
)
def test_a_filter_that_cannot_be_used_is_an_error(mft: Mft, data: Path, given: str, message: str) -> None:
    done = mft("data", "stats", "data", "--filter", given)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --filter {given}: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_show_prints_rows_turn_by_turn(mft: Mft, data: Path) -> None:
    done = mft("data", "show", "data", "--sample", "9")
    assert done.returncode == 0, done.stderr
    assert (
        "--- data/a.jsonl:1  messages  id 1  data_name adding\nuser:\nAdd numbers, please.\nassistant:\ndef add"
        in done.stdout
    )
    assert "text:\nx = 1" in done.stdout
    assert "\x1b" not in done.stdout
    assert "See \\x1b[31myou" in done.stdout
    drawn = [
        mft("data", "show", "data", "--sample", "2", "--seed", seed, "--json").stdout
        for seed in ("1", "1", "2", "3")
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    [first, second] = json.loads(drawn[0])
    assert set(first) == {"place", "format", "row"}
    assert first["place"] < second["place"]


def test_faults_are_reported_with_their_place(mft: Mft, data: Path) -> None:
    with (data / "a.jsonl").open("a") as file:
        file.write('{"prompt": 1, "answer": "x"}\nno json\n')
    for command in ("stats", "show"):
        done = mft("data", command, "data")
        assert done.returncode == 2
        assert done.stderr.startswith("error: data/a.jsonl:4: 'prompt' must be a string, not a number")
        assert "Traceback" not in done.stderr
    counts = json.loads(mft("data", "stats", "data", "--skip-bad", "--json").stdout)
    assert (counts["rows"], counts["bad"]["rows"]) == (5, 2)
    assert counts["bad"]["samples"][1].startswith("data/a.jsonl:5: not valid JSON")
    assert "2 bad rows skipped; the first: data/a.jsonl:4" in mft("data", "show", "data", "--skip-bad").stderr
    done = mft("data", "stats", "dada")
    assert (done.returncode, "file dada not found; did you mean data?" in done.stderr) == (2, True)
