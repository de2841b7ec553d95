"""Layers that torch.compile makes kernels of, with the number of their graphs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mftkit.base.quiet import without_checkpoint_noise
from mftkit.base.reasons import reason
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

BACKEND = "inductor"
"""torch.compile's backend."""
UNLIMITED = 2**20
"""torch's limit of compilations, above which it would run a layer uncompiled without an error."""


class CompiledLayers:
    """The compiled layers of one model, which counts their graphs.

    A layer runs compiled in training mode, and as it is in evaluation mode: validation, generation and the checks of a
    model have batches of many shapes.
    """

    def __init__(self, layers: list[nn.Module], shapes: int, warn: Callable[[str], None]) -> None:
        """Compile ``layers`` in place, when they are first called.

        Args:
            layers: of one model, in the order of its forward pass.
            shapes: the most shapes of batches.
            warn: called once if there are more graphs than these shapes explain, or none at all.
        """
        self.graphs = 0
        """Graphs compiled so far; the backward pass of a graph is part of it."""
        self._layers, self._shapes, self._warn = layers, shapes, warn
        self._graphs_of_shape: int | None = None
        self._gradient_modes: set[bool] = set()
        self._calls_of_first = 0
        for layer in layers:
            layer.compile(dynamic=False, backend=BACKEND)
            compiled = layer._compiled_call_impl
            assert compiled is not None, "the layer is compiled"
            # nn.Module calls what stands here; torch leaves it out of copies and of the state.
            layer._compiled_call_impl = partial(self._call, layer, compiled)

    @property
    def bound(self) -> int | None:
        """The most graphs that the shapes explain; None before all layers have run once.

        Layers differ, as in attention with and without a window: what the first batch needs stands for each shape. With
        and without gradients, as in a first pass over the micro-batches, are two graphs.
        """
        if self._graphs_of_shape is None:
            return None
        return self._graphs_of_shape * self._shapes * len(self._gradient_modes)

    def _call(self, layer: nn.Module, compiled: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not layer.training:
            return layer._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]
        from torch import is_grad_enabled
        from torch._dynamo import config
        from torch._dynamo.exc import TorchDynamoException

        if layer is self._layers[0]:
            self._calls_of_first += 1
            if self._calls_of_first == 2:
                self._graphs_of_shape = max(1, self.graphs)
                self._check_first(layer)
        self._gradient_modes.add(is_grad_enabled())
        before = _graphs_in_process()
        # Not for the whole process: other code in it keeps its settings.
        with (
            config.patch(
                recompile_limit=UNLIMITED, accumulated_recompile_limit=UNLIMITED, optimize_ddp=False
            ),
            without_checkpoint_noise(),
        ):
            try:
                outputs = compiled(*args, **kwargs)
            except TorchDynamoException as error:
                raise MftError(
                    f"training.compile: {type(layer).__name__} cannot be compiled: {reason(error)}; set "
                    "training.compile to false, the run resumes with the same batches"
                ) from error
        self._count(_graphs_in_process() - before)
        return outputs

    def _check_first(self, layer: nn.Module) -> None:
        """Warn if the first micro-batch made no graph: code that is marked as not to be traced runs uncompiled."""
        if not self.graphs:
            self._warn(
                f"training.compile: torch.compile made no graph of {type(layer).__name__}, so the layers run "
                "uncompiled; set training.compile to false, which also ends the padding to few lengths"
            )

    def _count(self, graphs: int) -> None:
        if not graphs:
            return
        within = self.bound is None or self.graphs <= self.bound
        self.graphs += graphs
        if within and self.bound is not None and self.graphs > self.bound:
            self._warn(
                f"training.compile: {self.graphs} graphs are compiled, more than the {self.bound} that the shapes of "
                "batches explain, and each took time: the tokenization mode may not pad as core asks (mftkit.collate "
                "does), or the model's code depends on the batch; TORCH_LOGS=recompiles shows why"
            )


def _graphs_in_process() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
