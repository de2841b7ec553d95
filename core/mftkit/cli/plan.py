"""``mft plan``: memory, time and checkpoints of a run, before anything is downloaded or started."""

from __future__ import annotations

from typing import Annotated

import typer

from mftkit.base.importing import collector_paused
from mftkit.cli.app import app
from mftkit.cli.arguments import Overrides, SpecFile, hide_other_progress
from mftkit.cli.console import json_result, show_view


@app.command()
def plan(
    spec: SpecFile,
    overrides: Overrides = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="What trains: b200-192g, h200-141g, h100-80g, a100-80g, a100-40g, l40s-48g, a10-24g, 4090-24g, "
            "3090-24g, mi300x-192g or cpu. By default the GPU of this machine, or h100-80g if it has none.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[int, typer.Option("--devices", min=1, metavar="N", help="Number of devices.")] = 1,
    utilization: Annotated[
        float,
        typer.Option(
            "--utilization",
            min=0.01,
            max=1.0,
            help="Share of the device's peak that the arithmetic of a step reaches.",
        ),
    ] = 0.4,
    disk_rate: Annotated[
        float,
        typer.Option("--disk-rate", min=0.001, metavar="GB/S", help="Rate at which checkpoints are written."),
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Plan memory, time and checkpoints of the run of SPEC, by engine.

    Only the spec and the model's config.json are read: no weights, no tokenizer, no data.
    """
    from mftkit.spec import load_spec
    from mftkit.tools.plan.devices import find_device
    from mftkit.tools.plan.engines import engines_of

    with collector_paused():
        from mftkit.tools.plan.resource_plan import plan_resources
    from mftkit.tools.plan.view import resource_view

    read = load_spec(spec, overrides or ())
    hide_other_progress()
    found, source = find_device(device)
    planned = plan_resources(
        read,
        engines_of(read),
        found,
        source,
        devices=devices,
        utilization=utilization,
        disk_rate=disk_rate * 1e9,
    )
    if as_json:
        json_result(planned.dump())
    else:
        show_view(resource_view(planned))
