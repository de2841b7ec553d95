"""TorchJD's aggregators as gradient combiners.

Each of them computes weights from the Gramian, the inner products [tasks, tasks] of the task gradients; the result
is the weighted sum of these gradients. So nothing of the size of the gradients is copied.
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

    The rows are already scaled by the balancer's weights, before the Gramian is computed.
    """

    sums: ClassVar[bool] = False
    """Whether TorchJD's result is a sum over tasks. A mean is multiplied by the number of tasks present, so that
    tasks that do not conflict train as they do without a combiner, under the same learning rate and clipping."""

    def weighting(self) -> Any:
        """Return TorchJD's weighting: from a Gramian [present, present] to weights [present]."""
        raise NotImplementedError

    def __init__(self, options: Any, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        """Raise MftError if a solver that TorchJD needs is not installed."""
        super().__init__(options, tasks)
        try:
            self._weighting = self.weighting()
        except ImportError as error:
            raise mftkit.MftError(f"gradients: {error}, then run again.") from error

    def combine(self, gradients: Tensor, weights: Tensor) -> Tensor:
        """Return [P] from rows [tasks, P]."""
        present = weights > 0
        gramian = (gradients @ gradients.T).double().cpu()[present][:, present]
        scale = gramian.trace()
        factors = torch.zeros_like(weights)
        if bool(scale > 0):
            # Scaled to a trace of 1, because TorchJD treats gradients below a fixed size as zero.
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
        """Options in a spec."""

        seed: int = Field(default=0, ge=0)
        """Random seed for the order in which other tasks are compared, drawn for each task and step."""

    options: Options
    turn = 0

    def weighting(self) -> Any:
        """Return the weighting; it has no options."""
        return aggregation.PCGradWeighting()

    def _factors(self, gramian: Tensor) -> Tensor:
        """Seed the CPU random state, which TorchJD draws from, for each step, so that a resumed run draws the same."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed((self.options.seed * 1_000_003 + self.turn) % 2**63)
            self.turn += 1
            return super()._factors(gramian)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps drawn so far."""
        return {"turn": self.turn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.turn = state["turn"]


class CAGrad(Aggregated):
    """Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning" (arXiv 2110.14048), Algorithm 1."""

    class Options(mftkit.Options):
        """Options in a spec."""

        c: float = Field(default=0.5, ge=0)
        """Maximum distance from the mean gradient, as a share of its length; 0 gives the mean gradient."""

    options: Options

    def weighting(self) -> Any:
        """Return the weighting, solved with cvxpy and Clarabel."""
        return aggregation.CAGradWeighting(c=self.options.c)


class UPGrad(Aggregated):
    """Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization" (arXiv 2406.16232)."""

    def weighting(self) -> Any:
        """Return the weighting, solved with quadprog, one problem per task."""
        return aggregation.UPGradWeighting()


class DualProj(Aggregated):
    """Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning" (arXiv 1706.08840), as in TorchJD."""

    def weighting(self) -> Any:
        """Return the weighting, solved with quadprog, one problem per step."""
        return aggregation.DualProjWeighting()


class MGDA(Aggregated):
    """Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization" (arXiv 1810.04650), Algorithm 2."""

    class Options(mftkit.Options):
        """Options in a spec."""

        epsilon: float = Field(default=0.001, gt=0)
        """The search ends when a step is shorter than this share of the way."""
        max_iters: int = Field(default=100, ge=1)
        """Maximum number of search steps."""

    options: Options

    def weighting(self) -> Any:
        """Return the weighting, by the Frank-Wolfe method."""
        return aggregation.MGDAWeighting(self.options.epsilon, self.options.max_iters)


class IMTLG(Aggregated):
    """Liu et al., "Towards Impartial Multi-task Learning" (ICLR 2021), in TorchJD's form for any rank."""

    def weighting(self) -> Any:
        """Return the weighting, by a pseudo-inverse."""
        return aggregation.IMTLGWeighting()


class AlignedMTL(Aggregated):
    """Senushkin et al., "Independent Component Alignment for Multi-Task Learning" (arXiv 2305.19000), Algorithm 1."""

    class Options(mftkit.Options):
        """Options in a spec."""

        scale: Literal["min", "median", "rmse"] = "min"
        """Common length of all independent components: that of the shortest, of the median one, or their mean."""

    options: Options

    def weighting(self) -> Any:
        """Return the weighting, by the eigenvectors of the Gramian."""
        return aggregation.AlignedMTLWeighting(scale_mode=self.options.scale)
