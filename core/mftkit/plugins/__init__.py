"""The program's plugins: the kinds of component, the hooks, and what is installed."""

from __future__ import annotations

import warnings


def __getattr__(name: str) -> object:
    """``build``, which packages of version 0.1 call with the name of a kind."""
    if name != "build":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mftkit.plugins import installed, kinds
    from mftkit_registry import find_kind

    def build(kind: str, *arguments: object, **more: object) -> object:
        return installed.build(find_kind(kinds.KINDS, kind), *arguments, **more)  # type: ignore[arg-type]

    what = "mftkit.plugins.build is now mftkit.build_component; the old name will be removed"
    warnings.warn(what, DeprecationWarning, stacklevel=2)
    return build
