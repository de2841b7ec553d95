"""Fully sharded data parallelism (FSDP2) as transformers applies it: ``from_pretrained(distributed_config=...)``.

Each process reads and keeps its shard of every weight, and gathers a layer's weights while it computes with them. A
tuning that freezes the base adds its parameters afterwards: they are small, and whole in every process, so their
gradients are summed by ``reduce`` (FSDP2 does not know them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import mftkit
from mftkit_plugins.engines.tied_weights import share_tied_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from transformers import PreTrainedModel
    from transformers.distributed.configuration_utils import DistributedConfig

T = TypeVar("T")


class Fsdp2Options(mftkit.Options):
    """How the model is divided."""

    replicas: int = 1
    """Number of copies of the model, each sharded over an equal part of the processes (HSDP): with the number of nodes,
    weights are exchanged within a node alone."""


class Fsdp2(mftkit.Engine):
    """Shards weights, gradients and optimizer over processes."""

    Options = Fsdp2Options
    options: Fsdp2Options
    preference = 1
    shards_weights = True

    def describe(self) -> dict[str, Any]:
        """Return over how many processes a weight is divided, and how many copies there are."""
        replicas = self.options.replicas
        return {"replicas": replicas, "shards": self.processes.count // replicas}

    def check(self, tuning: mftkit.Tuning, *, per_task_gradients: bool) -> None:
        """Raise MftError for a number of processes that the replicas do not divide, or gradients of shards."""
        count, replicas = self.processes.count, self.options.replicas
        if count % replicas:
            raise mftkit.MftError(
                f"engine.options.replicas: {replicas} does not divide the {count} processes of this run; set it to 1, "
                "or to the number of nodes"
            )
        if per_task_gradients and not tuning.freezes_base:
            raise mftkit.MftError(
                'gradients: a gradient per task cannot be kept of sharded weights; set engine to "ddp", use a tuning '
                "that freezes the base, or leave gradients out"
            )

    def load_options(self, *, quantized: bool) -> dict[str, Any]:
        """Return the configuration by which transformers shards a model as it reads its weights."""
        return {} if quantized else {"distributed_config": self._config()}

    def _config(self) -> DistributedConfig:
        from transformers.distributed.configuration_utils import DistributedConfig

        replicas = self.options.replicas
        return DistributedConfig(fsdp_size=self.processes.count // replicas, dp_replicate_size=replicas)

    def distribute(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the model sharded: one with random weights, the same in all processes, is sharded here."""
        if not getattr(model, "_is_fsdp_managed_module", False):
            config, _, mesh = type(model).prepare_distribute_model(self._config(), device_map=None)
            model = type(model).maybe_distribute_model(model, config, mesh)
            model.tie_weights()
        share_tied_weights(model)
        _run_work_in_forward(model)
        return model

    def wrapped(self, model: nn.Module, optimizer: Any) -> nn.Module:  # noqa: ARG002
        """Return the model as it is: its weights are on the device since they were sharded.

        It is not moved: that would replace each sharded parameter, and tied ones by two.
        """
        return model

    def within(self, model: PreTrainedModel, work: Callable[[], T]) -> T:
        """Call ``work`` inside the forward pass of the model, which gathers and drops the weights around it."""
        import torch
        from torch.distributed.fsdp import FSDPModule

        result = cast("T", model(work=work))
        if (
            not torch.is_grad_enabled()
        ):  # FSDP2 drops the last weights in the backward pass, which will not come
            for module in model.modules():
                if isinstance(module, FSDPModule):
                    module.reshard()
        return result

    def backward(self, loss: Tensor) -> None:
        """Back-propagate; FSDP2 divides by the number of processes, and gradients are sums over them."""
        (loss * self.processes.count).backward()  # type: ignore[no-untyped-call]

    def reduce(self, trained: list[nn.Parameter]) -> None:
        """Sum the gradients of parameters that are not sharded, in one message for each dtype."""
        import torch
        import torch.distributed as dist
        from torch.distributed.tensor import DTensor

        whole = [p.grad for p in trained if p.grad is not None and not isinstance(p, DTensor)]
        for dtype in sorted({grad.dtype for grad in whole}, key=str):
            same = [grad for grad in whole if grad.dtype == dtype]
            flat = torch.cat([grad.flatten() for grad in same])
            dist.all_reduce(flat)
            for grad, part in zip(same, torch.split(flat, [grad.numel() for grad in same]), strict=True):
                # ``backward`` has multiplied by the number of processes, as FSDP2 needs it.
                grad.copy_(part.view_as(grad) / self.processes.count)

    def clip(self, trained: list[nn.Parameter], max_norm: float) -> Tensor:
        """Clip by the norm over all shards."""
        from torch.distributed.tensor import DTensor

        norm = super().clip(trained, max_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _run_work_in_forward(model: PreTrainedModel) -> None:
    """Let ``model(work=...)`` call ``work`` in place of the model's own forward pass.

    Decoder and head are used separately here, and FSDP2 gathers weights only around calls of the whole model.
    """
    own = model.forward

    def forward(*args: Any, work: Callable[[], Any] | None = None, **more: Any) -> Any:
        if work is None:
            return own(*args, **more)
        result = work()
        # The head, whose weight is used without calling it, shares a group with the last norm; FSDP2 ends the forward
        # pass of a group, and drops its weights later, once all of its modules were called: here with no rows.
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        head(head.weight.new_empty(0, head.weight.shape[-1]))
        return result

    model.forward = forward
