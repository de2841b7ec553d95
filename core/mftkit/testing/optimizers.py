"""Checks of every optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mftkit.interfaces.engine import Engine, ProcessGroup
from mftkit.interfaces.optimizer import ParameterGroup, TrainedParameter
from mftkit.testing.assertions import require
from mftkit.testing.balancers import saved
from mftkit.testing.conformance import Conformance
from mftkit.training.optimizer import make_optimizer
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.interfaces.optimizer import Role

RATE = 1e-2
STEPS = 5
SHAPES: tuple[tuple[str, tuple[int, ...], Role], ...] = (
    ("embed.weight", (40, 16), "embedding"),
    ("layer.weight", (16, 24), "inner"),
    ("layer.experts", (3, 16, 8), "inner"),
    ("layer.norm.weight", (16,), "inner"),
    ("large.weight", (80, 64), "inner"),
    ("head.weight", (40, 16), "head"),
)
"""The parameters of the checks: matrices, stacked matrices, a vector, and one with more than 4096 numbers."""


class OptimizerConformance(Conformance):
    """Checks of ``mftkit.Optimizer`` on a few parameters on the CPU, whose gradients are given.

    Where ``check`` refuses the CPU, only what needs no step is checked.
    """

    def test_each_parameter_once(self) -> None:
        """Each parameter is in one group; parameters with different learning rates and decays are in different ones."""
        groups = self._groups()
        optimizer = self._optimizer(groups)
        decays = {id(m.tensor): group.weight_decay for group in groups for m in group.members}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                require(
                    group.get("weight_decay", 0.0) == decays[id(parameter)],
                    f"a parameter has the weight decay {group.get('weight_decay', 0.0)}, not that of its group, "
                    f"{decays[id(parameter)]}",
                )

    def test_it_learns(self) -> None:
        """Steps along the gradients of a quadratic bring the weights nearer to its minimum."""
        work = self._work()
        if work is not None:
            before = work.distance()
            work.steps(0, 4 * STEPS)
            require(work.distance() < before, "20 steps along the gradient do not bring the weights nearer")

    def test_follows_the_learning_rate(self) -> None:
        """With ``lr`` 0 in each of torch's groups no weight changes."""
        work = self._work()
        if work is not None:
            before = work.weights()
            work.steps(0, 1, rate=0.0)
            require(_same(before, work.weights()), "weights change in a step whose learning rate is 0")

    def test_resumes_exactly(self) -> None:
        """From a saved state, as a checkpoint holds it, the next steps are the same bit for bit."""
        work, resumed = self._work(), self._work()
        if work is None or resumed is None:
            return
        work.steps(0, STEPS)
        resumed.load(work.weights(), saved(work.optimizer.state_dict()))
        work.steps(STEPS, 2 * STEPS)
        resumed.steps(STEPS, 2 * STEPS)
        require(
            _same(work.weights(), resumed.weights()),
            "a resumed optimizer makes other steps: something is missing from state_dict(), or is not read again",
        )

    def test_a_step_that_is_not_finite_changes_nothing(self) -> None:
        """Where core skips an update, weights and the following steps are as if it had not been."""
        work, skipped = self._work(), self._work()
        if work is None or skipped is None:
            return
        for each in (work, skipped):
            each.steps(0, STEPS)
        before = skipped.weights()
        skipped.step(STEPS, bad=True)
        require(_same(before, skipped.weights()), "weights change in a step that is to be left out")
        for each in (work, skipped):
            each.steps(STEPS, 2 * STEPS)
        require(_same(work.weights(), skipped.weights()), "a step that was left out has changed the state")

    def test_the_bytes_of_the_state(self) -> None:
        """``state_bytes`` is the size of the tensors in the state, to a tenth and 64 bytes for each parameter."""
        work = self._work()
        if work is None:
            return
        work.steps(0, 1)
        component = self.make()
        found, stated = work.state_bytes(), sum(component.state_bytes(member) for member in work.members)
        require(
            abs(found - stated) <= 0.1 * found + 64 * len(work.members),
            f"state_bytes of all parameters is {stated}, but their state has {found} bytes",
        )

    def test_elementwise_state(self) -> None:
        """``elementwise_state`` names tensors of the parameter's shape, and parts are updated as the whole."""
        keys, work, part = self.component.elementwise_state, self._work(), self._work(part=True)
        if keys is None or work is None or part is None:
            return
        for each in (work, part):
            each.steps(0, STEPS)
        for member in work.members:
            for key in keys:
                value = work.optimizer.state[member.tensor].get(key)
                fits = isinstance(value, torch.Tensor) and value.shape == member.tensor.shape
                require(fits, f"the state {key!r} has not the shape of its parameter")
        halves = [weight[: len(weight) // 2] for weight in work.weights()]
        near = all(
            torch.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in zip(halves, part.weights(), strict=True)
        )
        require(
            near,
            "half of a parameter is updated in another way than in the whole, but elementwise_state is set",
        )

    def _groups(self, *, part: bool = False) -> list[ParameterGroup]:
        """Return matrices, vectors, and a group with its own learning rate and decay."""
        generator = torch.Generator().manual_seed(0)
        members = []
        for name, shape, role in SHAPES:
            values = torch.randn(shape, generator=generator)
            members.append(
                TrainedParameter(name, nn.Parameter(values[: len(values) // 2] if part else values), role)
            )
        own = [member for member in members if member.name.startswith("layer.experts")]
        rest = [member for member in members if member not in own]
        matrices = tuple(member for member in rest if member.tensor.ndim >= 2)
        vectors = tuple(member for member in rest if member.tensor.ndim < 2)
        return [
            ParameterGroup(matrices, RATE, 0.1),
            ParameterGroup(vectors, RATE, 0.0),
            ParameterGroup(tuple(own), RATE / 2, 0.05, 0.5),
        ]

    def _optimizer(self, groups: list[ParameterGroup]) -> torch.optim.Optimizer:
        return make_optimizer(self.component.__name__, self.make(), groups)

    def _work(self, *, part: bool = False) -> _Work | None:
        try:
            self.make().check(torch.device("cpu"))
        except MftError:
            return None
        groups = self._groups(part=part)
        return _Work(groups, self._optimizer(groups))


class _Work:
    """Parameters with the engine of a single process around their optimizer."""

    def __init__(self, groups: list[ParameterGroup], optimizer: torch.optim.Optimizer) -> None:
        self.groups = groups
        self.members = [member for group in groups for member in group.members]
        self.optimizer = optimizer
        self._engine: Engine[Any] = Engine(Engine.Options())
        self._engine.processes = ProcessGroup(1, 0, torch.device("cpu"))
        self._engine.wrap(nn.Module(), optimizer)

    def steps(self, first: int, end: int, rate: float | None = None) -> None:
        """Make steps along noisy gradients of half the squared weights."""
        for step in range(first, end):
            self.step(step, rate)

    def step(self, number: int, rate: float | None = None, *, bad: bool = False) -> None:
        for index, member in enumerate(self.members):
            whole = next(shape for name, shape, _ in SHAPES if name == member.name)
            noise = torch.randn(whole, generator=torch.Generator().manual_seed(100 * number + index))
            member.tensor.grad = member.tensor.detach() + 0.1 * noise[: len(member.tensor)]
            if bad:
                member.tensor.grad.fill_(float("nan"))
        if rate is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        self._engine.update(torch.tensor(float(bad)))

    def load(self, weights: list[torch.Tensor], state: dict[str, Any]) -> None:
        with torch.no_grad():
            for member, values in zip(self.members, weights, strict=True):
                member.tensor.copy_(values)
        self._engine.load_optimizer_state(state)

    def state_bytes(self) -> int:
        """Return the bytes of the state's tensors, each counted once."""
        values = [value for state in self.optimizer.state.values() for value in state.values()]
        tensors = {value.data_ptr(): value for value in values if isinstance(value, torch.Tensor)}
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())

    def weights(self) -> list[torch.Tensor]:
        return [member.tensor.detach().clone() for member in self.members]

    def distance(self) -> float:
        return sum(float(weight.square().sum()) for weight in self.weights())


def _same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
