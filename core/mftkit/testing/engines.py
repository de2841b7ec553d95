"""Checks of every engine."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mftkit.interfaces.engine import Engine, ProcessGroup
from mftkit.plugins.kinds import TUNING
from mftkit.testing.adapter_training import installed_components
from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance
from mftkit.testing.engine_training import PROCESSES, Trained, Work, train_alone, train_together
from mftkit.testing.tiny import AnyAdapter, config_for, from_random
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mftkit.interfaces.tuning import Tuning

NEAR = 1e-3
"""Largest difference allowed, relative to the largest number of a tensor."""
NEAR_WEIGHTS = 1e-3
"""Largest difference allowed of weights, relative to the norm: where a gradient is near 0, updates enlarge rounding."""
STEPS = 3
SKIPPED = 1
"""The step whose update is left out."""
_FOUND: dict[tuple[type, bool], Trained] = {}
"""What two processes found, by suite and whether an adapter was trained: it takes seconds."""


class EngineConformance(Conformance):
    """Checks of ``mftkit.Engine``: two processes must train a tiny model, with tied embeddings, as one does.

    They are forked and train on the CPU with gloo.
    """

    config: ClassVar[Mapping[str, Any] | None] = None
    """The tiny model's config.json; None: one is made for a family of transformers."""

    def test_what_it_states(self) -> None:
        """``preference`` is an integer of at least 0, and ``describe`` divides the processes."""
        engine = self._engine()
        preference = engine.preference
        require(
            isinstance(preference, int) and preference >= 0,
            f"preference must be an integer of at least 0, but is {preference!r}",
        )
        described = engine.describe()
        copies, shards = described.get("replicas"), described.get("shards")
        require(
            isinstance(copies, int) and isinstance(shards, int) and copies * shards == PROCESSES,
            f"describe() must have replicas and shards whose product is the number of processes, {PROCESSES}, but has "
            f"{copies!r} and {shards!r}",
        )

    def test_one_process(self) -> None:
        """Unless ``several_only``, one process trains with it as without it."""
        if self.component.several_only:
            return
        for tuning in _tunings():
            with self._checkpoint() as checkpoint:
                self._compare(
                    train_alone(self._work(tuning, checkpoint)), self._expected(tuning, checkpoint), tuning
                )

    def test_whole_model(self) -> None:
        """Two processes that train all weights have the losses, gradients, clipping and skipped steps of one."""
        self._check_training(adapter=False)

    def test_adapter(self) -> None:
        """The same with an adapter, added once the weights are divided: its gradients are summed, too."""
        self._check_training(adapter=True)

    def test_resuming(self) -> None:
        """Weights and optimizer of two processes resume in one, and those of one in two, as if never interrupted."""
        for tuning in filter(self._accepts, _tunings()):
            with self._checkpoint() as checkpoint:
                start = self._expected(tuning, checkpoint)
                one_step = partial(self._work, tuning, checkpoint, steps=1, skipped=())
                alone = train_alone(one_step(start=start, plain=True))
                together = train_together(one_step(start=start))
                self._compare(together, alone, tuning, "resumed where one process was")
                first = self._trained(tuning, checkpoint)
                again = train_alone(one_step(start=first, plain=True))
                self._compare(again, alone, tuning, "resumed by one process where two were")

    def _check_training(self, *, adapter: bool) -> None:
        for tuning in filter(self._accepts, _tunings()):
            if tuning().saves_adapter == adapter:
                with self._checkpoint() as checkpoint:
                    self._compare(
                        self._trained(tuning, checkpoint), self._expected(tuning, checkpoint), tuning
                    )

    def _trained(self, tuning: Callable[[], Tuning[Any]], checkpoint: Path) -> Trained:
        """Train in two processes, once for all checks of the class."""
        key = type(self), tuning().saves_adapter
        if key not in _FOUND:
            _FOUND[key] = train_together(self._work(tuning, checkpoint))
        return _FOUND[key]

    def _engine(self) -> Any:
        engine = self.make()
        engine.processes = ProcessGroup(PROCESSES, 0, torch.device("cpu"))
        return engine

    def _accepts(self, tuning: Callable[[], Tuning[Any]]) -> bool:
        """Return False if the engine refuses the tuning, by a message."""
        try:
            self._engine().check(tuning(), per_task_gradients=False)
        except MftError:
            return False
        return True

    @contextmanager
    def _checkpoint(self) -> Iterator[Path]:
        adapter = AnyAdapter(AnyAdapter.Options())
        config = config_for(adapter) if self.config is None else dict(self.config)
        with tempfile.TemporaryDirectory() as directory:
            base = Path(directory)
            from_random(adapter, {**config, "tie_word_embeddings": True}).save_pretrained(base)
            yield base

    def _work(
        self,
        tuning: Callable[[], Tuning[Any]],
        checkpoint: Path,
        *,
        steps: int = STEPS,
        skipped: tuple[int, ...] = (SKIPPED,),
        start: Trained | None = None,
        plain: bool = False,
    ) -> Work:
        return Work(_plain if plain else self.make, tuning, checkpoint, steps, start, skipped)

    def _expected(self, tuning: Callable[[], Tuning[Any]], checkpoint: Path) -> Trained:
        return train_alone(self._work(tuning, checkpoint, plain=True))

    def _compare(
        self, found: Trained, expected: Trained, tuning: Callable[[], Tuning[Any]], when: str = "trained"
    ) -> None:
        what = "an adapter" if tuning().saves_adapter else "the whole model"
        for name in ("norms", "losses"):
            one, other = (torch.tensor(getattr(each, name)) for each in (found, expected))
            require(
                bool(torch.allclose(one, other, rtol=NEAR, atol=0)),
                f"{what}, {when}: the {'losses' if name == 'losses' else 'norms of the gradients'} of the steps are "
                f"{one.tolist()}, but must be {other.tolist()}",
            )
        state, meant = found.optimizer["state"], expected.optimizer["state"]
        require(
            state.keys() == meant.keys(),
            f"{what}, {when}: the optimizer has the state of {len(state)} parameters",
        )
        for number, moments in meant.items():
            for key, tensor in moments.items():
                off = _off(state[number].get(key), tensor)
                require(
                    off <= NEAR,
                    f"{what}, {when}: {key} of parameter {number}, a mean of its gradients, differs by {off:.3g} of "
                    "its largest number",
                )
        for name, tensor in expected.weights.items():
            off = _distance(found.weights.get(name), tensor)
            require(
                off <= NEAR_WEIGHTS, f"{what}, {when}: the weight {name} differs by {off:.3g} of its norm"
            )


def _plain() -> Engine[Any]:
    return Engine(Engine.Options())


def _tunings() -> list[Callable[[], Tuning[Any]]]:
    """Return makers of two installed tunings: one that trains all weights, and one of an adapter; none quantizes."""
    found: dict[bool, Callable[[], Tuning[Any]]] = {}
    for _, tuning in installed_components(TUNING, None):
        if not tuning.load_options(torch.float32):
            found.setdefault(tuning.saves_adapter, partial(type(tuning), tuning.options, tuning.tasks))
    return list(found.values())


def _off(found: Any, expected: torch.Tensor) -> float:
    """Return the largest difference relative to the largest number."""
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return float("inf")
    largest = float(expected.abs().max())
    return float((found - expected).abs().max()) / largest if largest else float(found.abs().max())


def _distance(found: Any, expected: torch.Tensor) -> float:
    """Return the norm of the difference relative to the norm."""
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return float("inf")
    norm = float(expected.norm())
    return float((found - expected).norm()) / norm if norm else float(found.norm())
