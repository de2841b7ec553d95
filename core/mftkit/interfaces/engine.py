"""The interface of an engine: how several processes train one model."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, TaskInfo
from mftkit.interfaces.sharding import Sharding

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from mftkit.interfaces.optimizer import Optimizer
    from mftkit.interfaces.tuning import Tuning

T = TypeVar("T")

SINGLE_PROCESS = "single process"
"""The name of the engine of a single process, which no spec names."""


READS_FLAG = "_step_supports_amp_scaling"
"""The attribute by which torch's optimizers state that they read ``found_inf``, as torch's GradScaler looks for it."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, as an engine sees them; ``torch.distributed`` is initialized if there are several."""

    count: int
    rank: int
    """Number of this process, from 0."""
    device: torch.device
    """On which this process trains."""


@documented
class Engine(Component[OptionsT]):
    """Trains one model with several processes; this class by itself is the engine of a single process.

    A run calls, in this order: ``check``; ``load_options`` for the loading of the weights;
    ``distribute`` on the loaded model, before and after it is tuned; ``wrap`` once the optimizer is there; then, in
    each step, ``accumulate`` and ``backward`` for each micro-batch, ``reduce``, ``clip`` and ``update``. Every process
    makes the same calls in the same order.

    Gradients are sums: after ``reduce`` a parameter's ``.grad`` is the sum over micro-batches and processes of the
    gradients of what was given to ``backward``, whole or as this process's shard of it.
    """

    preference: ClassVar[int] = 0
    """Order in which ``"engine": "auto"`` tries engines, the highest first, until weights, gradients and optimizer
    fit the device; one with 0 is used only if a spec names it."""
    several_only: ClassVar[bool] = True
    """Whether the engine does nothing for a single process: a run of one process then trains without it."""

    def __init__(self, options: OptionsT, tasks: tuple[TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.name = SINGLE_PROCESS
        """The name by which a spec names it."""
        self.processes: ProcessGroup
        """The processes; set before any other method is called."""
        self.model: nn.Module
        """What ``wrap`` returned."""
        self.optimizer: torch.optim.Optimizer
        """The run's optimizer, from ``wrap`` on."""
        self.parameters: list[nn.Parameter]
        """The trained parameters in the order in which the optimizer's state numbers them, from ``wrap`` on."""

    @property
    def shards_weights(self) -> bool:
        """Whether no process holds all weights, so that a forward pass needs all processes at once."""
        return False

    def check(self, tuning: Tuning, *, per_task_gradients: bool) -> None:
        """Raise MftError for what the engine cannot train; called before any weights are read.

        Args:
            tuning: the run's.
            per_task_gradients: whether the run keeps one gradient per task, for a combiner.
        """

    def check_optimizer(self, optimizer: Optimizer) -> None:
        """Raise MftError for an optimizer that the engine cannot use; called before any weights are read.

        Core itself refuses one that needs whole parameters where ``sharding`` divides them.
        """

    def describe(self) -> dict[str, Any]:
        """What environment.json records under ``sharding``, and asserts: how the run is divided over processes."""
        return {"replicas": self.processes.count, "shards": 1}

    def sharding(self, devices: int, *, frozen_base: bool) -> Sharding:  # noqa: ARG002
        """What each of several devices holds of a model in training; memory is planned by it. Whole copies by default.

        Called without ``processes``.

        Args:
            devices: the devices of a run.
            frozen_base: whether the tuning freezes the base and trains parameters beside it.
        """
        return Sharding()

    def load_options(self, *, quantized: bool) -> dict[str, Any]:  # noqa: ARG002
        """Keyword arguments for ``from_pretrained``, by which each process reads its share of the weights.

        ``quantized``: whether the weights are quantized as they are loaded.
        """
        return {}

    def distribute(self, model: PreTrainedModel, *, tuned: bool) -> PreTrainedModel:  # noqa: ARG002
        """The loaded model with this process's share of its weights.

        Called before the tuning is applied and, with ``tuned``, after it, on the same model.
        """
        return model

    def wrap(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
        """The module whose forward pass trains ``model``.

        ``model`` computes log-probabilities from a batch and holds the tuned model. Override ``wrapped``.
        """
        self.optimizer = optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.model = self.wrapped(model, optimizer)
        return self.model

    def wrapped(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:  # noqa: ARG002
        """What ``wrap`` returns, on the device of ``processes``."""
        return model.to(self.processes.device)

    def within(self, model: PreTrainedModel, work: Callable[[], T]) -> T:  # noqa: ARG002
        """Call ``work``, which uses parts of ``model``, with the weights of these parts in place.

        Every forward pass, in training and validation, happens in such a call, of all processes at once.
        """
        return work()

    def accumulate(self, *, last: bool) -> AbstractContextManager[None]:  # noqa: ARG002
        """Around forward and backward pass of a micro-batch; ``last``: the last one of the step."""
        return nullcontext()

    def separate(self) -> AbstractContextManager[None]:
        """Around forward and backward pass of a micro-batch whose gradients must stay in this process."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Back-propagate a micro-batch's part of the step's objective."""
        loss.backward()  # type: ignore[no-untyped-call]

    def reduce(self, trained: list[nn.Parameter]) -> None:
        """After the last backward pass of a step: add up over processes what ``backward`` has not."""

    def clip(self, trained: list[nn.Parameter], max_norm: float) -> Tensor:
        """Scale the gradients down to ``max_norm`` (infinity: never); returns the norm before, a scalar."""
        from torch.nn.utils import clip_grad_norm_

        return clip_grad_norm_(trained, max_norm)

    def update(self, skip: Tensor) -> None:
        """Update the weights, unless ``skip`` (a scalar, on the device) is 1, and drop the gradients."""
        if getattr(self.optimizer, READS_FLAG, False):
            # A fused kernel reads this flag on the device, so that the host need not wait for it.
            self.optimizer.found_inf = skip  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not bool(skip):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def whole(
        self,
        parameters: list[nn.Parameter],  # noqa: ARG002
        *,
        written: bool = False,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Within it, weights that are kept outside of torch's own tensors are in place, in all processes.

        ``written``: whether they are overwritten there, with the same numbers in all processes.
        """
        return nullcontext()

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state in torch's own form, numbered as ``parameters``; every process calls it.

        Tensors have the parameters' shapes; they may be torch's distributed ones.
        """
        return self.optimizer.state_dict()

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Restore what ``optimizer_state`` gave, of any engine; every process has the same numbers.

        Tensors of parameters that are torch's distributed ones are divided like them.
        """
        self.optimizer.load_state_dict(state)
