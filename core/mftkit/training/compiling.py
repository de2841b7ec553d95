"""Where the decoder layers of a run are compiled, and for which few shapes of batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.models.decoder_layers import named_layers
from mftkit.training.compiled_layers import CompiledLayers
from mftkit.training.component_checks import isolates_samples
from mftkit_registry import MftError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from mftkit.interfaces.engine import Engine
    from mftkit.reporting.reporter import Reporter
    from mftkit.training.run_parts import CheckedRun

LENGTHS = 8
"""Most lengths to which rows are padded."""
ALIGNED = 8
"""Lengths are multiples of it, if ``max_length`` has room for so many: kernels of GPUs are faster then."""


def check_compiling(engine: Engine) -> None:
    """Raise MftError where layers cannot be compiled; called before any weights are read."""
    if engine.shards_weights:
        raise MftError(
            f"training.compile: engine {engine.name} divides the weights of each layer, which was not tried with "
            "compiled layers; set training.compile to false, or use an engine that keeps whole weights in each process"
        )
    lacking = lacking_compiler(engine.processes.device)
    if lacking:
        raise MftError(f"training.compile: {lacking}, or set training.compile to false")


def lacking_compiler(device: torch.device) -> str:
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
        "time once" + ("; the softmax of the head is compiled, too" if compiles_head(checked) else "")
    )


def compiles_head(checked: CheckedRun) -> bool:
    """Whether the softmax over the head's logits is compiled: on CUDA, as it is slower on a CPU."""
    training = checked.spec.training
    chosen = training.compile or (training.fused_kernels and not checked.engine.shards_weights)
    return chosen and checked.processes.device.type == "cuda"


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
