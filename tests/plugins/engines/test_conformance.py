"""The conformance suite on every built-in engine, with options that matter."""

from __future__ import annotations

import mftkit.testing
from mftkit_plugins.engines.ddp import Ddp
from mftkit_plugins.engines.deepspeed import DeepSpeed
from mftkit_plugins.engines.fsdp2 import Fsdp2


class TestDdp(mftkit.testing.EngineConformance):
    component = Ddp


class TestFsdp2(mftkit.testing.EngineConformance):
    component = Fsdp2


class TestDeepSpeed2(mftkit.testing.EngineConformance):
    component = DeepSpeed


class TestDeepSpeed3Offloaded(mftkit.testing.EngineConformance):
    component = DeepSpeed
    options = {"stage": 3, "cpu_offload": True}
