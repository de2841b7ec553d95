"""Fully sharded data parallelism (FSDP2) as transformers applies it (``DistributedConfig``).

Each process reads and keeps its shard of every weight, and gathers a layer's weights while it computes with them. A
tuning that freezes the base adds its parameters to a base that is sharded already: they are small, and whole in every
process, so their gradients are summed by ``reduce`` (FSDP2 does not know them). A quantized base is the exception: it
is loaded whole by each process, and sharded together with the adapters.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import Field

import mftkit
from mftkit_plugins.engines.offloading import offloaded_activations
from mftkit_plugins.engines.tied_weights import share_tied_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from transformers import PreTrainedModel
    from transformers.distributed.configuration_utils import DistributedConfig

T = TypeVar("T")
GATHERED_LAYERS = 2
"""The layer that computes, and the next one, which FSDP2 gathers in advance."""


class Fsdp2Options(mftkit.Options):
    """How the model is divided."""

    replicas: int = Field(default=1, ge=1)
    """Number of copies of the model, each sharded over an equal part of the processes (HSDP): with the number of nodes,
    weights are exchanged within a node alone."""
    reshard_after_forward: bool = True
    """Whether a layer's whole weights are dropped after its forward pass and gathered again for the backward pass: less
    memory, half as much traffic again."""
    cpu_offload: bool = False
    """Whether shards of weights, gradients and optimizer stay in host memory, where the optimizer steps."""
    activation_offload: bool = False
    """Whether what the backward pass needs waits for it in host memory."""


class Fsdp2(mftkit.Engine):
    """Shards weights, gradients and optimizer over processes."""

    Options = Fsdp2Options
    options: Fsdp2Options
    preference = 1
    shards_weights = True

    def describe(self) -> dict[str, Any]:
        """Return over how many processes a weight is divided, how many copies there are, and the options."""
        replicas = self.options.replicas
        return {**self.options.model_dump(), "replicas": replicas, "shards": self.processes.count // replicas}

    def check(self, tuning: mftkit.Tuning, *, per_task_gradients: bool) -> None:
        """Raise MftError for a number of processes that the replicas do not divide, or gradients of shards."""
        count, replicas = self.processes.count, self.options.replicas
        if count % replicas or count == replicas:
            raise mftkit.MftError(
                f"engine.options.replicas: {replicas} copies cannot be sharded over the {count} processes of this run; "
                "set it to 1, or to the number of nodes"
            )
        if self.options.cpu_offload and self.processes.device.type == "cpu":
            raise mftkit.MftError(
                "engine.options.cpu_offload: this run trains on the CPU, where all weights are in host memory; set it "
                "to false"
            )
        if per_task_gradients and not tuning.freezes_base:
            raise mftkit.MftError(
                'gradients: a gradient per task cannot be kept of sharded weights; set engine to "ddp", use a tuning '
                "that freezes the base, or leave gradients out"
            )

    def sharding(self, devices: int, *, frozen_base: bool) -> mftkit.Sharding:
        """Return weights divided within each copy of the model; what a tuning adds to a frozen base is whole."""
        degree = max(1, devices // self.options.replicas)
        of_trained = 1 if frozen_base else degree
        return mftkit.Sharding(
            frozen=degree,
            trained=of_trained,
            gradients=of_trained,
            optimizer=of_trained,
            gathered_units=GATHERED_LAYERS if degree > 1 else 0,
            gathers_all=degree > 1 and not self.options.reshard_after_forward,
            offloads_weights=self.options.cpu_offload,
            # What is not sharded stays on the device.
            offloads_optimizer=self.options.cpu_offload and not frozen_base,
        )

    def load_options(self, *, quantized: bool) -> dict[str, Any]:
        """Return the configuration by which transformers shards a model as it reads its weights."""
        return {} if quantized else {"distributed_config": self._config()}

    def _config(self) -> DistributedConfig:
        from transformers.distributed.configuration_utils import DistributedConfig

        replicas = self.options.replicas
        return DistributedConfig(
            fsdp_size=self.processes.count // replicas,
            dp_replicate_size=replicas,
            fsdp_cpu_offload=self.options.cpu_offload,
        )

    def distribute(self, model: PreTrainedModel, *, tuned: bool) -> PreTrainedModel:
        """Return the model sharded: one with random weights, the same in all processes, is sharded here.

        A quantized one is sharded once it is tuned: peft does not find the quantization of a shard.
        """
        if _is_sharded(model):
            return model
        if not getattr(model, "_is_fsdp_managed_module", False):
            if getattr(model, "is_quantized", False) and not tuned:
                return model
            config, _, mesh = type(model).prepare_distribute_model(self._config(), device_map=None)
            model = type(model).maybe_distribute_model(model, config, mesh)
            model.tie_weights()
        share_tied_weights(model)
        _run_work_in_forward(model)
        if not self.options.reshard_after_forward:
            cast("Any", model).set_reshard_after_forward(False)
        _check(model)
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

        if not _is_sharded(model):
            return work()
        trains = torch.is_grad_enabled()
        with offloaded_activations() if trains and self.options.activation_offload else nullcontext():
            result = cast("T", model(work=work))
        if not trains:  # FSDP2 drops the last weights in the backward pass, which will not come
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
        import torch
        import torch.distributed as dist
        from torch.distributed.tensor import DTensor
        from torch.nn.utils import get_total_norm

        shards = [p.grad.to_local() for p in trained if isinstance(p.grad, DTensor)]
        whole = [p.grad for p in trained if p.grad is not None and not isinstance(p.grad, DTensor)]
        # Replicas have the same shards, and every process has what is not sharded.
        parts = [(shards, self.options.replicas), (whole, self.processes.count)]
        norms = [
            get_total_norm(grads).to(self.processes.device) ** 2 / times for grads, times in parts if grads
        ]
        square = torch.stack(norms).sum()
        dist.all_reduce(square)
        norm = square.sqrt()
        for grads, _ in parts:
            for grad in grads:
                grad.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0).to(grad.device))
        return norm

    def update(self, skip: Tensor) -> None:
        """Update this process's shards."""
        super().update(skip.cpu() if self.options.cpu_offload else skip)


def _is_sharded(model: PreTrainedModel) -> bool:
    """Return True for a model that ``distribute`` has made ready."""
    return getattr(model, "_mftkit_runs_work", False)


def _check(model: PreTrainedModel) -> None:
    """Raise MftError if the weights are not sharded."""
    from torch.distributed.tensor import DTensor

    whole = [name for name, p in model.named_parameters() if not isinstance(p, DTensor) and p.dim() > 1]
    if whole:
        raise mftkit.MftError(
            f"engine: transformers has not sharded {len(whole)} weights of {type(model).__name__} "
            f'({", ".join(whole[:3])}, ...); set engine to "ddp"'
        )


def _run_work_in_forward(model: PreTrainedModel) -> None:
    """Let ``model(work=...)`` call ``work`` in place of the model's own forward pass.

    Decoder and head are used separately here, and FSDP2 gathers weights only around calls of the whole model.
    """
    from torch.distributed.tensor import DTensor

    own = model.forward

    def forward(*args: Any, work: Callable[[], Any] | None = None, **more: Any) -> Any:
        if work is None:
            return own(*args, **more)
        result = work()
        # The head, whose weight is used without calling it, shares a group with the last norm; FSDP2 ends the forward
        # pass of a group, and drops its weights later, once all of its modules were called: here with no rows.
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        if not isinstance(head.weight, DTensor):  # else ``work`` has used no layer, and nothing was gathered
            head(head.weight.new_empty(0, head.weight.shape[-1]))
        return result

    model.forward = forward
    cast("Any", model)._mftkit_runs_work = True
