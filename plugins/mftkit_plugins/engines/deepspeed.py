"""DeepSpeed's ZeRO: optimizer and gradients sharded (stage 2), and weights too (stage 3), on request in host memory.

arXiv 1910.02054. Stage 3 shards weights once the tuning has been applied: until then the processes of a node share one
copy of the model in host memory. DeepSpeed updates a flat copy of each process's share of the trained weights, with the
run's own AdamW, also where optimizer and weights are offloaded, so that no compiler is needed.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import warnings
from collections import defaultdict
from contextlib import contextmanager, nullcontext, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

T = TypeVar("T")

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's state of a parameter, besides its number of steps."""
BUCKET = 50_000_000
"""Numbers in one message; a buffer of this size is allocated."""


class DeepSpeedOptions(mftkit.Options):
    """What is sharded, and where it is kept."""

    stage: Literal[2, 3] = 2
    """2: gradients and optimizer are sharded, and every process holds all weights. 3: weights are sharded, too."""
    cpu_offload: bool = False
    """Whether the optimizer, and with stage 3 the weights, are kept in host memory, and updated there."""


class DeepSpeed(mftkit.Engine):
    """Shards optimizer, gradients and (stage 3) weights with DeepSpeed."""

    Options = DeepSpeedOptions
    options: DeepSpeedOptions
    packages: ClassVar[dict[str, str]] = {"deepspeed": "mftkit[deepspeed]"}

    def __init__(self, options: DeepSpeedOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self._base: PreTrainedModel
        self._engine: Any
        """DeepSpeed's own engine."""
        self._norm: Tensor
        """The norm of the step's gradients, before clipping; -1 makes DeepSpeed leave out the update."""

    @property
    def shards_weights(self) -> bool:
        """Whether weights are sharded: with stage 3."""
        return self.options.stage == 3

    def check(self, tuning: mftkit.Tuning, *, per_task_gradients: bool) -> None:
        """Raise MftError for one gradient per task, and for quantized weights with stage 3."""
        import torch

        if per_task_gradients:
            raise mftkit.MftError(
                "gradients: a gradient per task cannot be kept with DeepSpeed, which shards gradients as they are "
                'computed; set engine to "ddp", or leave gradients out'
            )
        if self.shards_weights and "quantization_config" in tuning.load_options(torch.float32):
            raise mftkit.MftError(
                "engine.options.stage: DeepSpeed cannot shard 4-bit weights (stage 3); set it to 2, which shards the "
                'optimizer of the adapters, or set tuning to "lora"'
            )

    def check_optimizer(self, optimizer: mftkit.Optimizer) -> None:
        """Raise MftError for an optimizer whose state is not that of AdamW."""
        if optimizer.elementwise_state != MOMENTS:
            raise mftkit.MftError(
                "training.optimizer: DeepSpeed shards the state of AdamW alone, so checkpoints could not hold that of "
                'another optimizer; set it to "adamw", or set engine to "ddp"'
            )

    def describe(self) -> dict[str, Any]:
        """Return over how many processes what is sharded is divided, and the stage, which says what that is."""
        return {"replicas": 1, "shards": self.processes.count, "stage": self.options.stage}

    def sharding(self, devices: int, *, frozen_base: bool) -> mftkit.Sharding:  # noqa: ARG002
        """Return gradients and optimizer divided over all devices, and weights with stage 3, adapters included."""
        of_weights = devices if self.shards_weights else 1
        return mftkit.Sharding(
            frozen=of_weights,
            trained=of_weights,
            gradients=devices,
            optimizer=devices,
            gathered_units=2 if of_weights > 1 else 0,  # the next one is gathered while one computes
            keeps_gradients=True,
            copies_weights=True,
            buffer_bytes=2 * 4 * BUCKET,
            offloads_weights=self.options.cpu_offload and self.shards_weights,
            offloads_optimizer=self.options.cpu_offload,
        )

    def distribute(self, model: PreTrainedModel, *, tuned: bool) -> PreTrainedModel:  # noqa: ARG002
        """Return the model as it is: weights are sharded by ``wrap``."""
        self._base = model
        return model

    def wrapped(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        """Return DeepSpeed's engine around the model."""
        self._group_sizes = [len(group["params"]) for group in optimizer.param_groups]
        self._check_model(model)
        deepspeed = _import_deepspeed(self.processes.device)
        config = self._config()
        with _silence():
            if self.shards_weights:
                _shard(model, config)
            self._engine = deepspeed.initialize(
                model=model, optimizer=optimizer, config=config, dist_init_required=False
            )[0]
        self._use_own_norm()
        if self.shards_weights:
            for parameter in self._head():
                deepspeed.zero.register_external_parameter(model, parameter)
        engine: nn.Module = self._engine
        return engine

    def _check_model(self, model: nn.Module) -> None:
        import torch

        trained = {p.dtype for p in model.parameters() if p.requires_grad}
        if trained != {torch.float32}:
            names = ", ".join(sorted(str(dtype)[6:] for dtype in trained))
            raise mftkit.MftError(
                f'model.dtype: with DeepSpeed trained weights must be float32, not {names}; set it to "bfloat16", '
                "which keeps trained weights in float32"
            )
        # peft's module for adapters of a parameter, of stacked experts above all, uses weights without calling modules.
        if self.shards_weights and any(type(module).__name__ == "ParamWrapper" for module in model.modules()):
            raise mftkit.MftError(
                "engine.options.stage: DeepSpeed cannot shard experts that have an adapter (stage 3); set it to 2, set "
                'engine to "fsdp2", or name linear layers in tuning.targets'
            )

    def _config(self) -> dict[str, Any]:
        hidden = self._base.config.get_text_config().hidden_size
        zero: dict[str, Any] = {
            "stage": self.options.stage,
            "reduce_bucket_size": BUCKET,
            "allgather_bucket_size": BUCKET,
            # As transformers chooses it: norms and biases stay whole.
            "stage3_param_persistence_threshold": 10 * hidden,
            # By default some blocks of experts are gathered as one; transformers stacks experts, which needs no such
            # thing, and 0.19 fails with an assertion if the router has a loss.
            "leaf_module": {"classes": []},
        }
        if self.options.cpu_offload:
            place = {"device": "cpu", "pin_memory": self.processes.device.type != "cpu"}
            zero["offload_optimizer"] = place
            if self.shards_weights:
                zero["offload_param"] = place
        return {
            # The objective scales each step, and the loop says when one ends.
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "steps_per_print": None,
            "zero_optimization": zero,
            # DeepSpeed's own AdamW for the host is compiled on first use; torch's is as exact, and fused as well.
            "zero_force_ds_cpu_optimizer": False,
        }

    def _use_own_norm(self) -> None:
        """Let DeepSpeed use the norm of ``clip`` instead of a second one; it leaves out the update if that is -1."""
        zero = self._engine.optimizer
        if self.shards_weights:
            self._norms, zero._get_norm_groups = zero._get_norm_groups, lambda: [self._norm]
        else:
            own = zero.scaled_global_norm
            self._norms, zero.scaled_global_norm = lambda: [own()], lambda: self._norm

    def _head(self) -> list[nn.Parameter]:
        """Return the head's parameters, which are used without calling it."""
        head: Any = self._base.get_output_embeddings()  # type: ignore[no-untyped-call]
        return list(head.parameters())

    def _embedding(self) -> list[nn.Parameter]:
        """Return the parameters of the input embedding that are not the head's, if it is tied."""
        own = {id(p) for p in self._head()}
        embedding = self._base.get_input_embeddings()
        return [p for p in embedding.parameters() if id(p) not in own]

    def within(self, model: PreTrainedModel, work: Callable[[], T]) -> T:  # noqa: ARG002
        """Call ``work`` with head and embedding in place; in the forward pass of the whole model they already are."""
        outside = any(_is_sharded(p) for p in self._head())
        with _gathered([*self._head(), *self._embedding()] if outside else [], written=False):
            return work()

    def accumulate(self, *, last: bool) -> AbstractContextManager[None]:
        """Let DeepSpeed know whether this is the step's last micro-batch."""
        self._engine.set_gradient_accumulation_boundary(last)
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Back-propagate; DeepSpeed divides by the number of processes, and gradients are sums over them."""
        self._engine.backward(loss * self.processes.count, scale_wrt_gas=False)

    def clip(self, trained: list[nn.Parameter], max_norm: float) -> Tensor:  # noqa: ARG002
        """Return the norm over all shards; ``update`` scales the gradients down."""
        import torch

        norm = torch.linalg.vector_norm(torch.stack([each.float() for each in self._norms()]))
        invalid = min(float(each) for each in self._norms()) < 0
        self._norm = norm
        self._engine.optimizer.clip_grad = 0.0 if math.isinf(max_norm) else max_norm
        return torch.full_like(norm, math.nan) if invalid else norm

    def update(self, skip: Tensor) -> None:
        """Update the weights, unless ``skip`` is 1, and drop the gradients."""
        if bool(skip):
            self._norm = self._norm.new_tensor(-1.0)
        self._engine.step()

    @contextmanager
    def whole(self, parameters: list[nn.Parameter], *, written: bool = False) -> Iterator[None]:
        """Gather the weights; those that are written are sharded again, and reach DeepSpeed's copies."""
        with _gathered([p for p in parameters if hasattr(p, "ds_id")], written=written):
            yield
        if written:
            self._engine.optimizer.refresh_fp32_params()

    def optimizer_state(self) -> dict[str, Any]:
        """Return the state of torch's AdamW, gathered parameter by parameter; every process must call it."""
        from deepspeed.utils import safe_get_full_optimizer_state

        if not self.shards_weights:
            self._link_moments()
        states = list(self.optimizer.state.values())
        state: dict[int, dict[str, Tensor]] = {}
        if states:
            for index, parameter in enumerate(self.parameters):
                moments = {key: safe_get_full_optimizer_state(parameter, key) for key in MOMENTS}
                state[index] = {"step": states[0]["step"].clone().cpu(), **moments}
        return {"state": state, "param_groups": self._groups()}

    def _groups(self) -> list[dict[str, Any]]:
        """Return the parameter groups with the numbers of the run's parameters, as torch writes them."""
        groups, first = [], 0
        for group, size in zip(self.optimizer.param_groups, self._group_sizes, strict=True):
            others = {key: value for key, value in group.items() if key != "params"}
            groups.append({**others, "params": list(range(first, first + size))})
            first += size
        return groups

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Restore what ``optimizer_state`` of any engine gave: whole tensors, of which this process keeps its share."""
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        for group, saved in zip(self.optimizer.param_groups, state["param_groups"], strict=True):
            group.update({key: value for key, value in saved.items() if key != "params"})
        if not state["state"]:
            self.optimizer.state.clear()
            return
        self._begin_state(state["state"][0]["step"])
        for index, parameter in enumerate(self.parameters):
            for key in MOMENTS:
                moment = state["state"][index][key]
                if self.shards_weights:
                    safe_set_local_optimizer_state(parameter, self._share(moment, parameter), key)
                else:
                    safe_set_full_optimizer_state(parameter, moment, key)

    def _begin_state(self, step: Tensor) -> None:
        """Make the state of DeepSpeed's flat parameters, as the first update makes it."""
        import torch

        zero = self._engine.optimizer
        for flat in (
            zero.fp32_partitioned_groups_flat if self.shards_weights else zero.single_partition_of_fp32_groups
        ):
            moments = {key: torch.zeros_like(flat) for key in MOMENTS}
            own = self.optimizer.state.setdefault(flat, {"step": flat.new_zeros(()), **moments})
            own["step"].copy_(step)
        if not self.shards_weights:
            self._link_moments()

    def _link_moments(self) -> None:
        """Let stage 2 find its state: 0.19 does so after the update of the first group, when the others have none."""
        zero = self._engine.optimizer
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()

    def _share(self, moment: Tensor, parameter: nn.Parameter) -> Tensor:
        """Return this process's part of a whole tensor, the last one filled up to the size of the others."""
        from torch.nn.functional import pad

        size = parameter.ds_tensor.numel()  # type: ignore[attr-defined]
        filled = pad(moment.flatten(), (0, size * self.processes.count - moment.numel()))
        return filled.narrow(0, size * self.processes.rank, size)


def _import_deepspeed(device: torch.device) -> Any:
    """Import DeepSpeed for a device, so that it writes to standard output no longer, and compiles nothing."""
    os.environ.setdefault("DS_ACCELERATOR", device.type)  # it would take the machine's first kind
    try:
        with _silence():
            import deepspeed
            from deepspeed.utils import logger
    except Exception as error:  # its native parts fail in many ways
        raise mftkit.MftError(f"engine: deepspeed cannot be imported: {error}") from error
    logger.handlers.clear()
    logger.setLevel(logging.ERROR)
    logger.propagate = True
    # 0.19 calls them by the names that torch 2.13 gives up.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
    # On a CPU, DeepSpeed would compile its own message passing on first use, after trying what else it can compile.
    deepspeed.ops.__compatible_ops__ = defaultdict(bool)
    return deepspeed


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what this process, and programs that it calls, write: a user can do nothing about it."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nothing):
            os.close(descriptor)


def _shard(model: nn.Module, config: dict[str, Any]) -> None:
    """Shard the weights one by one, so that a process has no copy of more than one of those that it shares."""
    import deepspeed
    from torch import nn

    first, *others = model.parameters()
    deepspeed.zero.Init(nn.ParameterList([first]), config_dict_or_path=config)
    for parameter in others:
        parameter.data = parameter.data.clone()  # overwritten with the main process's
        first.convert_to_zero_parameters(param_list=[parameter])  # type: ignore[attr-defined]


def _is_sharded(parameter: nn.Parameter) -> bool:
    if not hasattr(parameter, "ds_status"):
        return False
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    return bool(parameter.ds_status == ZeroParamStatus.NOT_AVAILABLE)


def _gathered(parameters: list[nn.Parameter], *, written: bool) -> AbstractContextManager[None]:
    if not parameters:
        return nullcontext()
    import deepspeed

    gathered: AbstractContextManager[None] = deepspeed.zero.GatheredParameters(
        parameters, modifier_rank=0 if written else None
    )
    return gathered
