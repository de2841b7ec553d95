"""The conformance suite on every built-in schedule, with options that matter."""

from __future__ import annotations

import mftkit.testing
from mftkit_plugins.schedules.constant import Constant
from mftkit_plugins.schedules.cosine import Cosine
from mftkit_plugins.schedules.linear import Linear
from mftkit_plugins.schedules.wsd import Wsd


class TestCosine(mftkit.testing.ScheduleConformance):
    component = Cosine


class TestLinear(mftkit.testing.ScheduleConformance):
    component = Linear


class TestConstant(mftkit.testing.ScheduleConformance):
    component = Constant


class TestWsd(mftkit.testing.ScheduleConformance):
    component = Wsd


class TestWsdInSteps(mftkit.testing.ScheduleConformance):
    component = Wsd
    options = {"decay": 10, "shape": "cosine"}


class TestWsdInALine(mftkit.testing.ScheduleConformance):
    component = Wsd
    options = {"decay": 0.9, "shape": "linear"}
