"""The marks that pluggy finds hooks by."""

from __future__ import annotations

import pluggy

PROJECT = "mft"
"""pluggy's project name, and the group of the entry points."""

hookspec = pluggy.HookspecMarker(PROJECT)
"""Marks the declaration of a hook, in the host."""
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks the implementation of a hook, in a plugin."""
