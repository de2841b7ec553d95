"""The registry of this process: what is installed, and the local plugins of the spec that is worked on."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mftkit.base.formatting import one_line
from mftkit.plugins import hookspecs, kinds
from mftkit_registry import MftWarning, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit_registry import LocalPlugin

OFF = ("", "0", "false", "no", "off")


class ProcessRegistry:
    """Holds a registry for each set of local plugins, and which of them is looked at now.

    Specs in one process may have different local plugins, also such that give the same name to different classes.
    A spec is validated, and its run made, with its own ones in use (``using``); between these, those of the spec that
    was read last are in use (``select``).
    """

    def __init__(self) -> None:
        self._installed: Registry | None = None
        self._extended: dict[tuple[LocalPlugin, ...], Registry] = {}
        self._selected: tuple[LocalPlugin, ...] = ()
        self._used: list[tuple[LocalPlugin, ...]] = []

    def __call__(self) -> Registry:
        """The registry in use: installed plugins except those that MFT_BLOCK_PLUGINS names, and local ones."""
        return self.of(self._used[-1] if self._used else self._selected)

    def of(self, plugins: tuple[LocalPlugin, ...]) -> Registry:
        """The registry with these local plugins; each is loaded once per process."""
        if self._installed is None:
            self._installed = _shown(_load())
        if not plugins:
            return self._installed
        if plugins not in self._extended:
            self._extended[plugins] = _shown(self._installed.extended(plugins))
        return self._extended[plugins]

    @contextmanager
    def using(self, plugins: Sequence[LocalPlugin]) -> Iterator[Registry]:
        """Use these local plugins and no others."""
        self._used.append(tuple(plugins))
        try:
            yield self()
        finally:
            self._used.pop()

    def select(self, plugins: Sequence[LocalPlugin]) -> None:
        """Use these local plugins from now on, except inside of ``using``."""
        self._selected = tuple(plugins)

    def cache_clear(self) -> None:
        """Forget everything: plugins are looked up again."""
        self._installed, self._selected = None, ()
        self._extended.clear()


registry = ProcessRegistry()
"""Returns the registry in use; loaded once per process."""


def _load() -> Registry:
    names = os.environ.get("MFT_BLOCK_PLUGINS", "").split(",")
    blocked = [name.strip() for name in names if name.strip()]
    traces = os.environ.get("MFT_TRACE_PLUGINS", "").strip().lower() not in OFF
    return Registry.load(kinds.KINDS, [hookspecs], blocked=blocked, trace=_print_call if traces else None)


def _print_call(line: str) -> None:
    sys.stderr.write(f"plugins: {one_line(line)}\n")
    sys.stderr.flush()


def _shown(loaded: Registry) -> Registry:
    for message in loaded.warnings:
        warnings.warn(message, MftWarning, stacklevel=2)
    return loaded
