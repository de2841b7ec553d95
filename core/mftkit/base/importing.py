"""Imports of large libraries in less time."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collector_paused() -> Iterator[None]:
    """Import without passes of the garbage collector, which go over all that was imported and find nothing.

    An eighth of the time of importing torch and transformers. Afterwards these objects, which stay until the process
    ends, are kept out of all later passes.
    """
    enabled, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:  # else there is nothing that stays
            gc.freeze()
        if enabled:
            gc.enable()
