"""The spec: a JSON file that says what a run is made of."""

from mftkit.interfaces.references import ComponentRef
from mftkit.spec.loading import load_spec
from mftkit.spec.mixing import MixingSpec
from mftkit.spec.model import ChatMarkers, ChatSpec, DataSpec, ModelSpec, TrainBpe
from mftkit.spec.problems import Problem, SpecError
from mftkit.spec.references import TuningRef
from mftkit.spec.spec import Spec
from mftkit.spec.tasks import HubDataset, TaskSpec
from mftkit.spec.training import EarlyStoppingSpec, TrainingSpec

__all__ = [
    "ChatMarkers",
    "ChatSpec",
    "ComponentRef",
    "DataSpec",
    "EarlyStoppingSpec",
    "HubDataset",
    "MixingSpec",
    "ModelSpec",
    "Problem",
    "Spec",
    "SpecError",
    "TaskSpec",
    "TrainBpe",
    "TrainingSpec",
    "TuningRef",
    "load_spec",
]
