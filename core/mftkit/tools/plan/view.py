"""What ``mft plan`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mftkit.base.formatting import duration, one_line, share, size, whole
from mftkit.display.tables import NumericTable, facts
from mftkit.tools.plan.resource_plan import COUNTS, WRITING_SHARE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mftkit.tools.plan.resource_plan import EnginePlan, ResourcePlan

INDENT = (0, 0, 0, 2)
OPTIONAL = {"adapters": "adapters", "gathered": "gathered", "host": "host\nmemory"}
"""Columns that are left out if they are 0 for every engine, and their headings."""


def resource_view(plan: ResourcePlan) -> RenderableType:
    """The plan for a rich console."""
    several = f"{plan.devices} x " if plan.devices > 1 else ""
    return Group(
        Text.assemble((one_line(plan.name), "bold"), f"  on {several}{plan.device.name}", overflow="fold"),
        Text(),
        Padding(facts(_model_facts(plan)), INDENT, expand=False),
        Text(),
        Padding(Text("memory of each device at the peak of a step", style="bold"), INDENT),
        Padding(_memory(plan), INDENT, expand=False),
        Text(),
        Padding(facts(_step_facts(plan)), INDENT, expand=False),
    )


def _model_facts(plan: ResourcePlan) -> Iterator[tuple[str, str]]:
    part = plan.trained / plan.parameters if plan.parameters else 0.0
    active = f"; {whole(plan.active)} used by a token" if plan.active < plan.parameters else ""
    quantized = ", the frozen base quantized" if plan.quantized else ""
    yield (
        "parameters",
        f"{whole(plan.parameters)}, {whole(plan.trained)} of them trained ({share(part)}){active}; {plan.dtype}"
        f"{quantized}",
    )
    device = plan.device
    yield (
        "device",
        f"{device.name}, {size(device.memory_bytes)} of memory, {size(device.usable_bytes)} for tensors "
        f"({plan.device_source})",
    )
    passes = f", {plan.micro_batches} times per step" if plan.micro_batches > 1 else ""
    yield (
        "rows",
        f"{plan.rows} per forward pass{passes}, {whole(plan.max_length)} tokens each; taken as full and all loss "
        "tokens, because no data is read",
    )


def _memory(plan: ResourcePlan) -> NumericTable:
    optional = [name for name in OPTIONAL if any(getattr(row.memory, name) for row in plan.engines)]
    parts = [
        "weights",
        *(name for name in optional if name == "adapters"),
        "gradients",
        "optimizer",
        "activations",
        "logits",
        *(name for name in optional if name == "gathered"),
        "total",
        *(name for name in optional if name == "host"),
    ]
    rows = [
        [
            row.engine,
            *(size(getattr(row.memory, part)) for part in parts),
            "yes" if row.fits else "no",
            _fewest(row),
        ]
        for row in plan.engines
    ]
    return NumericTable(
        ["engine", *(OPTIONAL.get(part, part) for part in parts), "fits", "fewest\ndevices"], rows
    )


def _fewest(row: EnginePlan) -> str:
    return f">{COUNTS[-1]}" if row.fewest_devices is None else whole(row.fewest_devices)


def _step_facts(plan: ResourcePlan) -> Iterator[tuple[str, str]]:
    yield "step", f"{whole(plan.tokens_per_step)} tokens, {plan.flop_per_step:.3g} FLOP"
    yield from (("time", text) for text in _times(plan))
    checkpoint = plan.checkpoint
    yield (
        "checkpoint",
        f"{size(checkpoint.bytes)}, written in {_time(checkpoint.seconds)} at {plan.disk_rate / 1e9:g} GB/s; "
        f"writing takes at most {WRITING_SHARE:.0%} of the time if checkpoints are {_time(checkpoint.least_interval)} "
        f"or more apart (training.checkpoint_every: {_interval(plan.checkpoint_every)})",
    )
    for note in plan.notes:
        yield "note", note


def _times(plan: ResourcePlan) -> Iterator[str]:
    """One sentence for all engines whose steps take equally long."""
    by_text: dict[str, list[str]] = {}
    for row in plan.engines:
        if row.time is None:
            text = "unknown, because the device's speed in this dtype is"
        else:
            rate = plan.tokens_per_step / row.time.seconds
            text = (
                f"{_time(row.time.seconds)} per step, {whole(rate)} tokens/s, bound by {row.time.bound_by}, at "
                f"{share(plan.utilization)} of the peak; communication is not included"
            )
        by_text.setdefault(text, []).append(row.engine)
    for text, engines in by_text.items():
        yield text if len(by_text) == 1 else f"{', '.join(engines)}: {text}"


def _interval(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 100 else duration(seconds)
