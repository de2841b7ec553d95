"""Damage of a file and of a JSON object is found by their checksums."""

from pathlib import Path

import pytest

from mftkit.base.checksums import CHECKSUM, fingerprint, verify_checksum, with_checksum


def test_one_altered_byte_is_another_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"123456789")
    assert fingerprint(file) == [9, 0xCBF43926]  # the check value of CRC-32
    file.write_bytes(b"123456780")
    assert fingerprint(file) != [9, 0xCBF43926]


def test_the_order_of_keys_does_not_matter_and_each_value_does() -> None:
    sealed = with_checksum({"rows": 3, "facts": {"b": [1, None], "a": "\u00e9"}})
    verify_checksum(dict(reversed(sealed.items())))
    for altered in ({"rows": 4}, {"facts": {"b": [1], "a": "\u00e9"}}, {CHECKSUM: 0}, {"more": 1}):
        with pytest.raises(ValueError, match="not the one that was written"):
            verify_checksum({**sealed, **altered})
    verify_checksum({"rows": 3})  # written by an earlier version
