"""What JSON leaves open is refused, with the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mftkit.spec.reading import read_spec_file
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n "a": 1,\n}', ":3: not valid JSON: "),
        ("", ":1: not valid JSON: "),
        ("[1]", ": expected one JSON object {...}, not list"),
        ('{"a": 1,\n "b": {"c": 1,\n "c": 2}}', ':3: the key "c" is given twice in one object'),
        ('{\n"a": NaN}', ":2: NaN is not a JSON number"),
        ('{\n"a": -Infinity}', ":2: -Infinity is not a JSON number"),
        ('{\n"a": 1e999}', ":2: the number 1e999 is too large"),
        ('{"a": {"b": 1},\n "c": [NaN, {"b": 1,\n "b": "NaN"}]}', ":2: NaN is not a JSON number"),
        ("[" * 200_000, ": is nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", ":1: the number 1111"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(text)
    with pytest.raises(MftError) as caught:
        read_spec_file(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MftError, match="no such file"):
        read_spec_file(tmp_path / "nothing.json")
    with pytest.raises(MftError, match=r"cannot be read: Is a directory"):
        read_spec_file(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(MftError, match="not UTF-8 text"):
        read_spec_file(tmp_path / "latin.json")


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}')
    assert read_spec_file(tmp_path / "s.json")[0] == {"a": "é"}
