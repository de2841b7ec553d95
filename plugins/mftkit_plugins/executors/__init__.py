"""The built-in executors: what runs a program that nobody has looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable


@mftkit.hookimpl
def register_executors(register: Callable[..., Any]) -> None:
    """Register each executor by import string."""
    register(
        "bubblewrap",
        "mftkit_plugins.executors.bubblewrap:Bubblewrap",
        summary="namespaces of the kernel through bwrap: no network, no files of the user, no other processes",
    )
    register(
        "docker",
        "mftkit_plugins.executors.docker:Docker",
        summary="a container of docker or podman without network, from an image that is there",
    )
    register(
        "rlimits",
        "mftkit_plugins.executors.rlimits:Rlimits",
        summary="limits of the kernel, no network where the system allows it; isolates weakly",
    )
