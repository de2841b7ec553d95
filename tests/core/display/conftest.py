from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).with_name("scripted.py")


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The scripted run."""
    found = importlib.util.spec_from_file_location("scripted", SCRIPT)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
