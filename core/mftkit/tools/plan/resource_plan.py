"""The plan of a run's resources: memory, arithmetic, time and checkpoints, by engine."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mftkit.interfaces.model import VARLEN
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.plan.arithmetic import flop_per_token, step_time
from mftkit.tools.plan.engines import refusals
from mftkit.tools.plan.fake_step import moments
from mftkit.tools.plan.formula import formula_moments
from mftkit.tools.plan.memory import Load, MemoryUse, peak_use
from mftkit.tools.plan.outline import outline, planned_precision
from mftkit.tools.plan.sizes import measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.engine import Engine
    from mftkit.interfaces.sharding import Sharding
    from mftkit.spec import Spec
    from mftkit.tools.plan.arithmetic import StepTime
    from mftkit.tools.plan.devices import Device
    from mftkit.tools.plan.fake_step import Moment
    from mftkit.tools.plan.outline import Outline
    from mftkit.tools.plan.sizes import Sizes

COUNTS = (*range(1, 9), *range(16, 1025, 8))
"""Numbers of devices that are tried: one machine's, then whole machines of 8."""
WRITING_SHARE = 0.02
"""Share of the time that writing checkpoints may take."""


@dataclass(frozen=True)
class EnginePlan:
    """A run under one engine."""

    engine: str
    memory: MemoryUse
    """Of each device."""
    fits: bool
    fewest_devices: int | None
    """The smallest number of devices on which it fits; None: on none of ``COUNTS``."""
    time: StepTime | None
    """Of a step; None: the device's figures are unknown."""


@dataclass(frozen=True)
class CheckpointPlan:
    """What a checkpoint takes."""

    bytes: float
    seconds: float
    """To write it at the stated rate."""
    least_interval: float
    """Seconds between two for writing to take the share ``WRITING_SHARE`` of the time."""


@dataclass(frozen=True)
class ResourcePlan:
    """What a run needs."""

    name: str
    device: Device
    device_source: str
    devices: int
    dtype: str
    parameters: int
    trained: int
    active: float
    """Parameters that a token uses."""
    quantized: bool
    rows: int
    """Packed rows of a forward pass in each device."""
    micro_batches: int
    max_length: int
    tokens_per_step: int
    flop_per_step: float
    utilization: float
    engines: tuple[EnginePlan, ...]
    checkpoint: CheckpointPlan
    checkpoint_every: object
    """As the spec has it."""
    disk_rate: float
    """Bytes/s."""
    notes: tuple[str, ...] = ()

    def dump(self) -> JsonObject:
        """The plan as ``mft plan --json`` prints it; sizes in bytes, times in seconds."""
        planned = asdict(self)
        for row, engine in zip(planned["engines"], self.engines, strict=True):
            row["memory"]["total"] = engine.memory.total
        return {**planned, "engines": list(planned["engines"]), "notes": list(self.notes)}


@with_own_plugins
def plan_resources(
    spec: Spec,
    engines: Mapping[str, Engine],
    device: Device,
    device_source: str = "",
    *,
    devices: int = 1,
    utilization: float = 0.4,
    disk_rate: float = 1e9,
) -> ResourcePlan:
    """Plan what the run of a spec needs on some devices. Its data, tokenizer and weights are not read.

    Args:
        spec: the run's spec.
        engines: the engines to compare, by name.
        device: what trains.
        device_source: where the device comes from, for the user.
        devices: how many devices train.
        utilization: share of the device's peak that arithmetic reaches.
        disk_rate: at which checkpoints are written, bytes/s.

    Raises:
        MftError: something that the user can fix.
    """
    precision = planned_precision(spec.model.dtype, bfloat16=device.bfloat16)
    planner = _Planner(outline(spec, precision), device, devices)
    load = planner.load
    sizes = planner.sizes
    size = planner.checkpoint_weights + sizes.optimizer_bytes
    seconds = size / disk_rate
    planned = tuple(planner.engine(name, engine, utilization) for name, engine in engines.items())
    return ResourcePlan(
        name=spec.name,
        device=device,
        device_source=device_source,
        devices=devices,
        dtype=precision.name,
        parameters=sizes.total,
        trained=sizes.trained,
        active=sizes.active,
        quantized=sizes.largest_dequantized > 0,
        rows=load.rows,
        micro_batches=load.micro_batches,
        max_length=spec.max_length,
        tokens_per_step=spec.training.batch_size * spec.max_length,
        flop_per_step=planner.flop_per_step,
        utilization=utilization,
        engines=planned,
        checkpoint=CheckpointPlan(size, seconds, seconds * (1 / WRITING_SHARE - 1)),
        checkpoint_every=spec.dump()["training"]["checkpoint_every"],
        disk_rate=disk_rate,
        notes=(*planner.notes, *refusals(spec, engines, devices, frozen_base=planner.frozen_base)),
    )


class _Planner:
    """Plans one model for any number of devices."""

    def __init__(self, outlined: Outline, device: Device, devices: int) -> None:
        self._outline = outlined
        self._device = device
        self._devices = devices
        self.sizes: Sizes = measure(outlined)
        self.load = _load(outlined.spec, devices)
        self.notes = list(_notes(outlined.spec, devices))
        self.frozen_base = outlined.tuning.freezes_base
        self._moments = self._activations()

    def _activations(self) -> tuple[Moment, ...]:
        try:
            return moments(self._outline, self.load.rows, fused_dropout=not self._device.is_host)
        except Exception as error:  # whatever an operation of a model without values raises
            self.notes.append(
                "activations are estimated by a formula (arXiv 2205.05198), because the model does not run without "
                f"values: {type(error).__name__}: {str(error).partition(chr(10))[0][:120]}"
            )
            return formula_moments(self._outline, self.load.rows)

    @property
    def checkpoint_weights(self) -> int:
        """Bytes of what a checkpoint holds of the model."""
        state = self._outline.tuning.state_dict(self._outline.model)
        return sum(tensor.numel() * tensor.element_size() for tensor in state.values())

    @property
    def flop_per_step(self) -> float:
        """Over all devices, with full rows."""
        spec, base = self._outline.spec, self._outline.tuning.base_model(self._outline.model)
        per_token = flop_per_token(
            self.sizes,
            base.config.get_text_config(),
            spec.max_length,
            recomputes=spec.training.gradient_checkpointing is True,
        )
        return per_token * spec.training.batch_size * spec.max_length

    def engine(self, name: str, engine: Engine, utilization: float) -> EnginePlan:
        """The plan under one engine."""
        use = self._use(engine, self._devices)
        fits = self._fits(use)
        fewest = next((count for count in COUNTS if self._fits(self._use(engine, count))), None)
        recomputes = bool(self._outline.spec.training.gradient_checkpointing)
        known = self._outline.precision.name == "bfloat16"  # the dtype of the devices' figures
        time = step_time(
            self.flop_per_step,
            self.sizes,
            self._sharding(engine, self._devices),
            self.load,
            self._device,
            self._devices,
            utilization=utilization,
            passes=3 if recomputes else 2,
        )
        return EnginePlan(name, use, fits, fewest, time if known else None)

    def _sharding(self, engine: Engine, devices: int) -> Sharding:
        return engine.sharding(devices, frozen_base=self.frozen_base)

    def _use(self, engine: Engine, devices: int) -> MemoryUse:
        load = _load(self._outline.spec, devices)
        found = tuple(moment.with_rows(load.rows / self.load.rows) for moment in self._moments)
        return peak_use(self.sizes, found, self._sharding(engine, devices), load)

    def _fits(self, use: MemoryUse) -> bool:
        return use.total <= self._device.usable_bytes


def _load(spec: Spec, devices: int) -> Load:
    """What one of several devices does in a step."""
    training = spec.training
    micro_batches = math.ceil(training.batch_size / (training.micro_batch_size * devices))
    rows = math.ceil(training.batch_size / (micro_batches * devices))
    copies = 1 if spec.gradients is None else len(spec.tasks) + 1
    return Load(rows, micro_batches, copies, recomputes=bool(training.gradient_checkpointing))


def _notes(spec: Spec, devices: int) -> Iterator[str]:
    if spec.training.batch_size < devices:
        yield (
            f"training.batch_size is {spec.training.batch_size} rows, fewer than the {devices} devices: some have "
            "nothing to do"
        )
    if spec.model.attention.startswith("flash") or spec.model.attention == VARLEN:
        yield f"activations are those of sdpa, which takes no less memory than {spec.model.attention}"
