"""The built-in executors, which run programs that nobody has reviewed."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_executors(register: mftkit.Register) -> None:
    """Register each executor by import string."""
    register(
        "bubblewrap",
        "mftkit_plugins.executors.bubblewrap:Bubblewrap",
        summary="kernel namespaces through bwrap: no network, no access to user files or other processes",
    )
    register(
        "docker",
        "mftkit_plugins.executors.docker:Docker",
        summary="a docker or podman container without network, from a local image",
    )
    register(
        "rlimits",
        "mftkit_plugins.executors.rlimits:Rlimits",
        summary="kernel limits, without network where the system allows it; weak isolation",
    )
