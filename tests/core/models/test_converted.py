"""Adapters of converted families; the built-in ones are tested in tests/plugins/models."""

from typing import Any

import pytest

from mftkit import ConvertedAdapter, JsonObject


def test_notes_under_their_old_name_are_still_reported() -> None:
    def remarks(adapter: ConvertedAdapter, config: JsonObject) -> list[str]:
        return [f"{config['model_type']}: compare outputs first"]

    with pytest.warns(DeprecationWarning, match="Old.remarks is now Old.conversion_notes"):
        old: Any = type("Old", (ConvertedAdapter,), {"original_types": ("old",), "remarks": remarks})
    assert old(old.Options()).conversion_notes({"model_type": "old"}) == ["old: compare outputs first"]
