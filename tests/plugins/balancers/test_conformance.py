"""The built-in ones at their defaults, and the adaptive ones so brisk that their weights move in the history."""

from typing import Any

from built_in import suites
from mftkit.plugins import kinds
from mftkit.testing import BalancerConformance
from mftkit_plugins.balancers.coba import Coba
from mftkit_plugins.balancers.dro import Dro
from mftkit_plugins.balancers.dwa import Dwa
from mftkit_plugins.balancers.famo import Famo

globals().update(suites(kinds.BALANCER))


class TestBriskCoba(BalancerConformance):
    component = Coba
    options = {"every": 2, "warmup": 3, "window": 6, "hold": 2}


class TestFamoOfFixedSamples(BalancerConformance):
    component = Famo
    options = {"every": 3, "hold": 0}


class TestFamoOfTrainingLosses(BalancerConformance):
    component = Famo
    options = {"losses": "training", "lower_bounds": {"second": -0.5}}


class TestBriskDwa(BalancerConformance):
    component = Dwa
    options = {"window": 4, "temperature": 0.5}


class TestDroWithReferences(BalancerConformance):
    component = Dro
    options = {"step_size": 1.0, "smoothing": 0.0, "reference": {"first": 1.0, "second": 2.0, "third": 0.5}}

    def resized(self, count: int) -> Any:
        """Each task needs a reference, so there are no more tasks than those."""
        found: Dro | None = super().resized(min(count, len(self.tasks)))
        return found
