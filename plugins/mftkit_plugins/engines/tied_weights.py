"""Input embedding and head that are one parameter, under FSDP2.

transformers 5.23 applies FSDP2 before it ties the two, so FSDP2 knows them as two parameters: the head's is gathered
from its own shard, which no optimizer updates, and a tied model trains with a stale head, without a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedModel


def share_tied_weights(model: PreTrainedModel) -> None:
    """Make FSDP2 gather tied weights once, for all modules that use them. Does nothing if none are tied.

    Raises MftError if a weight is still sharded twice, in case torch keeps its books differently.
    """
    owners: dict[int, Any] = {}
    for state, group in _groups(model):
        for held in list(group.fsdp_params):
            owner = owners.setdefault(id(_parameter(held)), held)
            if owner is not held:
                group.fsdp_params.remove(held)
                info, shared = held._module_info, owner._module_info
                shared.shared_modules.append(info.module)
                shared.shared_param_names.append(info.param_name)
        if not group.fsdp_params:
            state._fsdp_param_groups.remove(group)
    kept = [id(_parameter(held)) for _, group in _groups(model) for held in group.fsdp_params]
    if len(kept) != len(set(kept)):
        raise mftkit.MftError(
            f"engine: {type(model).__name__} ties weights that this version of torch shards twice; set engine to "
            '"ddp"'
        )


def _parameter(held: Any) -> nn.Parameter:
    """Return the parameter that FSDP2 holds."""
    parameter: nn.Parameter = getattr(held._module_info.module, held._module_info.param_name)
    return parameter


def _groups(model: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Yield FSDP2's states with their groups of parameters, those of inner modules first."""
    from torch.distributed.fsdp import FSDPModule

    seen: set[int] = set()
    for module in reversed(list(model.modules())):
        if isinstance(module, FSDPModule):
            state = module._get_fsdp_state()
            for group in list(state._fsdp_param_groups):
                if id(group) not in seen:
                    seen.add(id(group))
                    yield state, group
