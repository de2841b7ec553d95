"""The report of keys that are not used."""

import pytest

from mftkit.data.rows.reading import RowFindings


def report(keys: dict[str, int]) -> str:
    [message] = RowFindings("error", unused_keys=keys).messages("t", ["a.jsonl"])
    return message


def test_keys_stand_with_their_numbers_of_rows() -> None:
    keys = {"url": 12_000, "note": 1, "license": 12_000}
    assert report(keys) == "task t: keys not used: url, license (12,000 rows), note (1 row)"


@pytest.mark.parametrize("number", [21, 3000])
def test_many_keys_are_counted_and_not_listed(number: int) -> None:
    keys = {"url": 10, **{f"key{place}": 1 for place in range(number)}}
    assert report(keys).endswith(f"key18 (1 row), and {number - 19:,} more")


def test_a_long_key_is_cut() -> None:
    assert len(report({"k" * 1000: 1})) < 120
