"""What tests of several floors share, and what all run under: no network, and one thread, so that the
numbers are the same in every process."""

from __future__ import annotations

import gc
import os
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from fixture_types import Install

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the matrix of engines to the run that asks for it; files with long tests come first.

    A long test at the end would leave the other processes of the run without work.
    """
    if "engines" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("engines")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    with_long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in with_long)


def pytest_collection_finish() -> None:
    """Leave what the tests import, millions of objects, out of each later garbage collection.

    One over all of them takes half a second, and a merge or the end of a run asks for one.
    """
    _freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """The same after each file, for what its tests left in caches, and after a test that imported much."""
    yield
    if nextitem is None or nextitem.path != item.path or len(sys.modules) > _modules_frozen + 20:
        _freeze()


_modules_frozen = 0
"""How many modules there were when objects were last left out."""


def _freeze() -> None:
    global _modules_frozen
    gc.collect()
    gc.freeze()
    _modules_frozen = len(sys.modules)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """A flush to the disk matters when the power fails, which no test does, and takes milliseconds each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which fails as well if the file is not open
        yield


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a real distribution: ``install(name, {entry point: module}, {module: source})``.

    It goes into a directory of its own on ``sys.path``; that directory is returned, for the PYTHONPATH of
    another process. Afterwards nothing of it is left imported.
    """
    before = set(sys.modules)

    def installed(
        name: str,
        entry_points: dict[str, str],
        modules: dict[str, str] | None = None,
        *,
        version: str = "1.0",
        group: str = "mft",
        into: str = "site",
        requires: Iterable[str] = (),
    ) -> Path:
        site = tmp_path / into
        metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {line}\n" for line in requires)
        )
        points = "".join(f"{point} = {target}\n" for point, target in entry_points.items())
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{points}")
        for module, source in (modules or {}).items():
            (site / f"{module}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(str(site))
        return site

    yield installed
    for module in set(sys.modules) - before:
        if (getattr(sys.modules[module], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[module]
