"""The conformance suite on every built-in optimizer, with options that matter."""

from __future__ import annotations

import mftkit.testing
from mftkit_plugins.optimizers.adafactor import Adafactor
from mftkit_plugins.optimizers.adamw import AdamW
from mftkit_plugins.optimizers.adamw_8bit import AdamW8bit
from mftkit_plugins.optimizers.muon import Muon
from mftkit_plugins.optimizers.paged_adamw import PagedAdamW


class TestAdamW(mftkit.testing.OptimizerConformance):
    component = AdamW
    options = {"betas": [0.8, 0.95], "eps": 1e-6}


class TestAdamW8bit(mftkit.testing.OptimizerConformance):
    component = AdamW8bit


class TestPagedAdamW(mftkit.testing.OptimizerConformance):
    component = PagedAdamW
    options = {"bits": 8}


class TestMuon(mftkit.testing.OptimizerConformance):
    component = Muon


class TestAdafactor(mftkit.testing.OptimizerConformance):
    component = Adafactor


class TestAdafactorWithMomentum(mftkit.testing.OptimizerConformance):
    component = Adafactor
    options = {"momentum": 0.9, "relative": True}
