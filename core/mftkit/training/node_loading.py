"""One copy of a loaded model for all processes of a node, for an engine that shards a model only later.

One process of each node loads the model and writes it to a file in memory; all of them map that file. What a process
overwrites becomes its own, page by page, and the others do not see it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedModel

    from mftkit.processes import Processes


def load_once_per_node(load: Callable[[], PreTrainedModel], processes: Processes) -> PreTrainedModel:
    """What ``load`` returns, called by one process of each node; its random state is the others', too.

    Where processes of a node cannot share memory in this way, each calls ``load``.

    Raises:
        MftError: in all processes, if ``load`` raises it in one.
    """
    nodes = processes.gather(_node())
    own = nodes[processes.rank]
    if own is None or nodes.count(own) == 1:
        return load()
    with _file_in_memory() as file:
        written, fault = None, None
        if nodes.index(own) == processes.rank:
            try:
                torch.save((load(), torch.get_rng_state()), file)
                written = file
            except MftError as error:
                fault = str(error)
        files, faults = zip(*processes.gather((written, fault)), strict=True)
        if any(faults):
            raise MftError(next(each for each in faults if each))
        model, random_state = torch.load(files[nodes.index(own)], mmap=True, weights_only=False)
        torch.set_rng_state(random_state)
        processes.barrier()  # every process has mapped the file
    return cast("PreTrainedModel", model)


@contextmanager
def _file_in_memory() -> Iterator[str]:
    """The path of a new file in memory, valid for all processes of the node within the block; a kill leaves none."""
    descriptor = os.memfd_create("mftkit-model")
    try:
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _node() -> str | None:
    """What processes that see each other in /proc have in common; None where there is no such thing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        return f"{boot.strip()} {Path('/proc/self/ns/pid').readlink()} {os.getuid()}"
    except OSError:
        return None
