"""The conformance suite on every built-in mixer, with options that matter."""

from __future__ import annotations

import mftkit.testing
from mftkit_plugins.mixers.bandit import Bandit
from mftkit_plugins.mixers.proportions import Proportions
from mftkit_plugins.mixers.temperature import Temperature


class TestBandit(mftkit.testing.MixerConformance):
    component = Bandit


class TestBanditByTokens(mftkit.testing.MixerConformance):
    component = Bandit
    options = {"by": "tokens", "temperature": 0.01, "exploration": 0, "step_size": 1}


class TestTemperature(mftkit.testing.MixerConformance):
    component = Temperature
    options = {"temperature": 1e-4, "by": "tokens"}


class TestProportions(mftkit.testing.MixerConformance):
    component = Proportions
    options = {"proportions": {"first": 1, "second": 0, "third": 2}}
