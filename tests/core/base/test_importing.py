from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mftkit.base.importing import collector_paused


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that nobody has imported, which keeps a hundred lists."""
    (tmp_path / "library_of_lists.py").write_text("KEPT = [[] for _ in range(100)]", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "library_of_lists"
    sys.modules.pop("library_of_lists", None)
    gc.unfreeze()


def test_the_collector_rests_during_imports_and_leaves_out_what_they_made(library: str) -> None:
    gc.unfreeze()
    with collector_paused():
        assert not gc.isenabled()
        importlib.import_module(library)
    assert gc.isenabled()
    assert gc.get_freeze_count() >= 100


def test_nothing_is_left_out_where_all_was_imported_before(library: str) -> None:
    importlib.import_module(library)
    gc.unfreeze()
    with collector_paused():
        importlib.import_module(library)
    assert gc.get_freeze_count() == 0


def test_the_collector_works_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), collector_paused():
        importlib.import_module("no_such_library")
    assert gc.isenabled()


def test_a_collector_that_the_caller_turned_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
