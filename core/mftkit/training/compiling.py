"""Decoder layers that torch.compile makes kernels of, and the few shapes of batches for which it does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mftkit.base.reasons import reason
from mftkit.models.decoder_layers import named_layers
from mftkit.training.component_checks import isolates_samples
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from mftkit.interfaces.engine import Engine
    from mftkit.reporting.reporter import Reporter
    from mftkit.training.run_parts import CheckedRun

BACKEND = "inductor"
"""torch.compile's backend."""
LENGTHS = 8
"""Most lengths to which rows are padded."""
ALIGNED = 8
"""Lengths are multiples of it, if ``max_length`` has room for so many: kernels of GPUs are faster then."""
UNLIMITED = 2**20
"""torch's limit of compilations, above which it would run a layer uncompiled without an error."""


def check_compiling(engine: Engine) -> None:
    """Raise MftError where layers cannot be compiled; called before any weights are read."""
    if engine.shards_weights:
        raise MftError(
            f"training.compile: engine {engine.name} divides the weights of each layer, which was not tried with "
            "compiled layers; set training.compile to false, or use an engine that keeps whole weights in each process"
        )
    lacking = _lacking_compiler(engine.processes.device)
    if lacking:
        raise MftError(f"training.compile: {lacking}, or set training.compile to false")


def _lacking_compiler(device: torch.device) -> str:
    """What torch.compile lacks on a device, with how to fix it; "" if it is there."""
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            return (
                "torch.compile needs a C++ compiler on a CPU, and there is none; install g++ or clang++, or set the "
                "environment variable CXX to one"
            )
        return ""
    from torch.utils._triton import has_triton

    return "" if has_triton() else "torch.compile needs triton on a GPU; install the package triton"


def length_step(max_length: int) -> int:
    """Rows are padded to a multiple of it.

    >>> length_step(4096), length_step(96), length_step(20)
    (512, 16, 3)
    """
    step = math.ceil(max_length / LENGTHS)
    return step if max_length < LENGTHS * ALIGNED else math.ceil(step / ALIGNED) * ALIGNED


@dataclass(frozen=True)
class Shapes:
    """The shapes of a run's batches: fixed numbers of rows, and few lengths."""

    length_step: int
    rows: int
    count: int
    """The most kinds of batches: lengths, each with and without a mask where rows hold isolated samples."""

    @classmethod
    def of(cls, checked: CheckedRun) -> Shapes:
        """The shapes of a run."""
        spec = checked.spec
        step = length_step(spec.max_length)
        masks = isolates_samples(checked.mode, checked.corpus, checked.sampler, spec.max_length)
        count = math.ceil(spec.max_length / step) * (1 + masks)
        # A process without a micro-batch while others have one runs a row of two tokens.
        return cls(step, spec.training.micro_batch_size, count + (checked.processes.count > 1))


def describe_compiling(checked: CheckedRun) -> str:
    """A sentence for the plan; "" if nothing is compiled."""
    if not checked.spec.training.compile:
        return ""
    shapes = Shapes.of(checked)
    return (
        f"torch.compile: the decoder layers are compiled in training, for at most {shapes.count} shapes of "
        f"micro-batches: {shapes.rows} rows, padded to multiples of {shapes.length_step} tokens; each shape takes "
        "time once"
    )


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
            warn: called once if there are more graphs than these shapes explain.
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
        self._gradient_modes.add(is_grad_enabled())
        before = _graphs_in_process()
        # Not for the whole process: other code in it keeps its settings.
        with config.patch(
            recompile_limit=UNLIMITED, accumulated_recompile_limit=UNLIMITED, optimize_ddp=False
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


def compile_layers(checked: CheckedRun, base: PreTrainedModel, reporter: Reporter) -> CompiledLayers | None:
    """Compile a model's decoder layers in place if the spec says so, wrapped by an engine or not.

    Raises:
        MftError: the model does not say which modules are its layers.
    """
    if not checked.spec.training.compile:
        return None
    from torch import _dynamo as dynamo

    layers = named_layers(base)
    if not layers:
        raise MftError(
            f"training.compile: {type(base).__name__} does not say which modules are its layers (_no_split_modules); "
            "set training.compile to false"
        )
    # Graphs of an earlier run in this process would be used again, which the count does not see, and stay in memory.
    dynamo.reset()
    return CompiledLayers(layers, Shapes.of(checked).count, reporter.warn)
