"""One copy of a loaded model for all processes of a node, for an engine that shards a model only later.

One process of each node loads the model and writes it to a file in memory; all of them map that file. What a process
overwrites becomes its own, page by page, and the others do not see it.
"""

from __future__ import annotations

import os
import pickle
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

    Where processes of a node cannot share the model in this way, each calls ``load``: it has an object that cannot be
    pickled, say, or a class that only the process has which loaded it.

    Raises:
        MftError: in all processes, if ``load`` raises it in one.
    """
    nodes = processes.gather(_node())
    own = nodes[processes.rank]
    if own is None or nodes.count(own) == 1:
        return load()
    model: PreTrainedModel | None = None
    with _file_in_memory() as file:
        written, fault = None, None
        if nodes.index(own) == processes.rank:
            try:
                model = load()
                written = _write(model, file)
            except MftError as error:
                fault = str(error)
        files, faults = zip(*processes.gather((written, fault)), strict=True)
        if any(faults):
            raise MftError(next(each for each in faults if each))
        shared = _mapped(files[nodes.index(own)])
        processes.barrier()  # every process has mapped the file
    if shared is not None:
        return shared
    return load() if model is None else model


def _write(model: PreTrainedModel, file: str) -> str | None:
    """Write a model to a file, and the random state of this process; None if that is not possible."""
    if any(parameter.device.type != "cpu" for parameter in model.parameters()):
        return None  # a device is of one process
    classes = {name: type(parameter) for name, parameter in model.named_parameters()}
    try:
        torch.save((model, classes, torch.get_rng_state()), file)
    except (pickle.PicklingError, AttributeError, TypeError):  # raised for closures, locks and the like
        return None
    return file


def _mapped(file: str | None) -> PreTrainedModel | None:
    """The model in a file; None if there is none, or this process lacks a class of it or may not open it."""
    if file is None:
        return None
    try:
        model, classes, random_state = torch.load(file, mmap=True, weights_only=False)
    except (OSError, ImportError, AttributeError, RuntimeError):
        return None
    for name, parameter in model.named_parameters():
        parameter.__class__ = classes[
            name
        ]  # torch pickles a parameter of any class, such as a quantized one, as plain
    torch.set_rng_state(random_state)
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
