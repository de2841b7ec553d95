"""The spec: a JSON or YAML file that describes a run."""

from mftkit.interfaces.references import ComponentRef
from mftkit.spec.chat import ChatMarkers, ChatSpec
from mftkit.spec.data import DataSpec
from mftkit.spec.evaluation import EvaluatedTask, EvaluateSpec, EvaluationSpec
from mftkit.spec.loading import load_spec
from mftkit.spec.mixing import MixingSpec
from mftkit.spec.model import ModelSpec, TrainBpe
from mftkit.spec.problems import Problem, SpecError
from mftkit.spec.references import TuningRef
from mftkit.spec.row_sources import DataFiles, GeneratedValidation, HubDataset
from mftkit.spec.spec import Spec
from mftkit.spec.tasks import TaskSpec
from mftkit.spec.training import EarlyStoppingSpec, TrainingSpec

__all__ = [
    "ChatMarkers",
    "ChatSpec",
    "ComponentRef",
    "DataFiles",
    "DataSpec",
    "EarlyStoppingSpec",
    "EvaluateSpec",
    "EvaluatedTask",
    "EvaluationSpec",
    "GeneratedValidation",
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
