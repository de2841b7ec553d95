from built_in import suites
from mftkit.plugins import kinds
from mftkit.testing import LossConformance
from mftkit_plugins.losses.task_focal import TaskFocal

globals().update(suites(kinds.LOSS))


class TestTaskFocalOfItsOwnFactors(LossConformance):
    component = TaskFocal
    options = {"gamma": 0.5, "alpha": {"first": 0.0, "third": 3.0}}
