"""Conformance suites: what a component of each kind must do, as tests to inherit.

In a plugin's tests, collected by pytest::

    import mftkit.testing

    class TestMine(mftkit.testing.LossConformance):
        component = Mine
        options = {"scale": 2.0}

``mft plugins check NAME`` runs the same suite on an installed component, without pytest.
"""

from mftkit.testing.adapters import ModelAdapterConformance
from mftkit.testing.assertions import ConformanceError, ConformanceWarning
from mftkit.testing.balancers import BalancerConformance
from mftkit.testing.callbacks import CallbackConformance
from mftkit.testing.chat_models import ChatModelConformance
from mftkit.testing.combiners import GradientCombinerConformance
from mftkit.testing.conformance import Conformance
from mftkit.testing.engines import EngineConformance
from mftkit.testing.evaluators import EvaluatorConformance
from mftkit.testing.executors import ExecutorConformance
from mftkit.testing.filters import DataFilterConformance
from mftkit.testing.generators import DataGeneratorConformance
from mftkit.testing.losses import LossConformance
from mftkit.testing.mixers import MixerConformance
from mftkit.testing.modes import TokenizationModeConformance
from mftkit.testing.optimizers import OptimizerConformance
from mftkit.testing.schedules import ScheduleConformance
from mftkit.testing.task_formats import TaskFormatConformance
from mftkit.testing.trackers import TrackerConformance
from mftkit.testing.tunings import TuningConformance

__all__ = [
    "BalancerConformance",
    "CallbackConformance",
    "ChatModelConformance",
    "Conformance",
    "ConformanceError",
    "ConformanceWarning",
    "DataFilterConformance",
    "DataGeneratorConformance",
    "EngineConformance",
    "EvaluatorConformance",
    "ExecutorConformance",
    "GradientCombinerConformance",
    "LossConformance",
    "MixerConformance",
    "ModelAdapterConformance",
    "OptimizerConformance",
    "ScheduleConformance",
    "TaskFormatConformance",
    "TokenizationModeConformance",
    "TrackerConformance",
    "TuningConformance",
]
