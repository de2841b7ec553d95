"""The interface of an optimizer: how the trained weights follow their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch
    from torch import nn

Role = Literal["embedding", "head", "inner"]


@documented
@dataclass(frozen=True)
class TrainedParameter:
    """A parameter that a run trains."""

    name: str
    """In the model that the tuning made."""
    tensor: nn.Parameter
    """On the "meta" device where memory is planned."""
    role: Role = "inner"
    """Whether it belongs to the input embedding, to the output head, or to neither; "embedding" if both share it."""

    @property
    def is_vocabulary(self) -> bool:
        """Whether its rows stand for tokens, as those of the embedding and of the head do."""
        return self.role != "inner"


@documented
@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share their settings."""

    members: tuple[TrainedParameter, ...]
    """At least one."""
    learning_rate: float
    """At the peak; core sets ``"lr"`` of torch's groups before each step."""
    weight_decay: float
    learning_rate_scale: float = 1.0
    """The factor of the run's learning rate that is in ``learning_rate``."""

    def as_torch(
        self, members: Iterable[TrainedParameter] | None = None, **settings: object
    ) -> dict[str, Any]:
        """The group, or some ``members`` of it, as torch's optimizers take it, with more of an optimizer's settings."""
        chosen = self.members if members is None else members
        return {
            "params": [member.tensor for member in chosen],
            "lr": self.learning_rate,
            "weight_decay": self.weight_decay,
            **settings,
        }


@documented
class Optimizer(Component[OptionsT]):
    """Makes the optimizer of a run (``training.optimizer`` in a spec).

    A step whose loss or gradient is not finite must leave weights and state as they are. An optimizer that reads
    torch's flag ``found_inf``, as torch's fused ones do, leaves out the update by itself; any other one is not called
    in such a step, for which the host waits for the device in every step.

    The state is in checkpoints as ``state_dict`` of torch's optimizer gives it: nested dicts of tensors, numbers and
    texts. A resumed run continues bit for bit.
    """

    elementwise_state: ClassVar[tuple[str, ...] | None] = None
    """If each number of a parameter is updated by its own gradient and state alone, so that processes may divide a
    parameter: the keys of the state that have the parameter's shape. None: it needs whole parameters."""

    def check(self, device: torch.device) -> None:
        """Raise MftError if it cannot work on a device, or with the installed packages; before any weights are read."""

    @required
    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """The optimizer of the parameters in ``groups``, each in exactly one of torch's groups.

        Parameters of groups with different settings must not share one of torch's groups. The order of the parameters
        numbers the state in checkpoints, so it must depend on ``groups`` and the options alone.
        """
        raise NotImplementedError

    def notes(self, groups: Sequence[ParameterGroup]) -> list[str]:  # noqa: ARG002
        """Remarks for users, one sentence each, shown in the plan: what is updated in another way, for instance."""
        return []

    def state_bytes(self, parameter: TrainedParameter) -> int:
        """Bytes of a parameter's state, by which memory is planned; by default those of two numbers per weight."""
        return 2 * parameter.tensor.numel() * parameter.tensor.element_size()
