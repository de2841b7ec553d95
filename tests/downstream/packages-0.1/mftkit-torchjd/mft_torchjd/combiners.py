"""TorchJD's aggregators as gradient combiners.

Each of them makes weights of the Gramian, the tasks' inner products [tasks, tasks]; the gradient is the tasks'
own times these weights. So nothing of the size of the gradients is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torchjd import aggregation

import mftkit

if TYPE_CHECKING:
    from torch import Tensor


class Aggregated(mftkit.GradientCombiner):
    """Weights from the Gramian of the tasks that are present, in float64.

    The rows hold the balancer's weights, which so scale a task's gradient before anything is made of it.
    """

    sums: ClassVar[bool] = False
    """Whether TorchJD's result is a sum over tasks. A mean is multiplied by the number of tasks present, so that
    tasks that do not conflict train as they do without a combiner, under the same learning rate and clipping."""

    def weighting(self) -> Any:
        """TorchJD's, from a Gramian [present, present] to weights [present]."""
        raise NotImplementedError

    def __init__(self, options: Any, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raises MftError where a solver that TorchJD needs is not installed."""
        super().__init__(options, tasks)
        try:
            self._weighting = self.weighting()
        except ImportError as error:
            raise mftkit.MftError(f"gradients: {error}, then run again.") from error

    def combine(self, gradients: Tensor, weights: Tensor) -> Tensor:
        """[P], from rows [tasks, P]."""
        present = weights > 0
        gramian = (gradients @ gradients.T).double().cpu()[present][:, present]
        scale = gramian.trace()
        factors = torch.zeros_like(weights)
        if bool(scale > 0):
            # Scaled to a trace of 1: TorchJD takes gradients below a fixed size for none at all.
            factors[present] = self._factors(gramian / scale)
        return factors.to(gradients) @ gradients

    @torch.no_grad()
    def _factors(self, gramian: Tensor) -> Tensor:
        found: Tensor = self._weighting(gramian)
        return found if self.sums else found * len(gramian)


class PCGrad(Aggregated):
    """Yu et al., "Gradient Surgery for Multi-Task Learning" (arXiv 2001.06782), Algorithm 1."""

    sums = True

    class Options(mftkit.Options):
        """What a spec may set."""

        seed: int = Field(default=0, ge=0)
        """Of the order in which the other tasks are looked at, which is drawn for each task and step."""

    options: Options
    turn = 0

    def weighting(self) -> Any:
        """Without options."""
        return aggregation.PCGradWeighting()

    def _factors(self, gramian: Tensor) -> Tensor:
        """TorchJD draws from the random state of the CPU: from one of its own here, which a resumed run finds again."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed((self.options.seed * 1_000_003 + self.turn) % 2**63)
            self.turn += 1
            return super()._factors(gramian)

    def state_dict(self) -> dict[str, Any]:
        """How many steps were drawn for."""
        return {"turn": self.turn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.turn = state["turn"]


class CAGrad(Aggregated):
    """Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning" (arXiv 2110.14048), Algorithm 1."""

    class Options(mftkit.Options):
        """What a spec may set."""

        c: float = Field(default=0.5, ge=0)
        """How far from the mean gradient it may go, as a share of that one's length; 0: not at all."""

    options: Options

    def weighting(self) -> Any:
        """Solved with cvxpy and Clarabel."""
        return aggregation.CAGradWeighting(c=self.options.c)


class UPGrad(Aggregated):
    """Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization" (arXiv 2406.16232)."""

    def weighting(self) -> Any:
        """Solved with quadprog, one problem a task."""
        return aggregation.UPGradWeighting()


class DualProj(Aggregated):
    """Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning" (arXiv 1706.08840), as in TorchJD."""

    def weighting(self) -> Any:
        """Solved with quadprog, one problem a step."""
        return aggregation.DualProjWeighting()


class MGDA(Aggregated):
    """Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization" (arXiv 1810.04650), Algorithm 2."""

    class Options(mftkit.Options):
        """What a spec may set."""

        epsilon: float = Field(default=0.001, gt=0)
        """The search ends where a step is shorter than this share of the way."""
        max_iters: int = Field(default=100, ge=1)
        """Most steps of the search."""

    options: Options

    def weighting(self) -> Any:
        """By the method of Frank and Wolfe."""
        return aggregation.MGDAWeighting(self.options.epsilon, self.options.max_iters)


class IMTLG(Aggregated):
    """Liu et al., "Towards Impartial Multi-task Learning" (ICLR 2021), in TorchJD's form for any rank."""

    def weighting(self) -> Any:
        """By a pseudo-inverse."""
        return aggregation.IMTLGWeighting()


class AlignedMTL(Aggregated):
    """Senushkin et al., "Independent Component Alignment for Multi-Task Learning" (arXiv 2305.19000), Algorithm 1."""

    class Options(mftkit.Options):
        """What a spec may set."""

        scale: Literal["min", "median", "rmse"] = "min"
        """The length that all independent components get: that of the shortest, of the middle one, or their mean."""

    options: Options

    def weighting(self) -> Any:
        """By the eigenvectors of the Gramian."""
        return aggregation.AlignedMTLWeighting(scale_mode=self.options.scale)
