"""The kinds of component. One line here, an interface, a conformance suite and templates make a kind."""

from __future__ import annotations

from mftkit.interfaces.balancer import Balancer
from mftkit.interfaces.callback import Callback
from mftkit.interfaces.chat import ChatModel
from mftkit.interfaces.data_filter import DataFilter
from mftkit.interfaces.engine import Engine
from mftkit.interfaces.evaluator import Evaluator
from mftkit.interfaces.executor import Executor
from mftkit.interfaces.generator import DataGenerator
from mftkit.interfaces.gradients import GradientCombiner
from mftkit.interfaces.loss import Loss
from mftkit.interfaces.mixer import Mixer
from mftkit.interfaces.model import ModelAdapter
from mftkit.interfaces.optimizer import Optimizer
from mftkit.interfaces.references import AUTO
from mftkit.interfaces.schedule import Schedule
from mftkit.interfaces.task_format import TaskFormat
from mftkit.interfaces.tokenization import TokenizationMode
from mftkit.interfaces.tracker import Tracker
from mftkit.interfaces.tuning import Tuning
from mftkit.plugins.component_kind import ComponentKind

MODEL_ADAPTER = ComponentKind(
    "model-adapter", ModelAdapter, place="model.adapter", aliases=("model", "adapter"), reserved=(AUTO,)
)
TOKENIZATION_MODE = ComponentKind(
    "tokenization-mode", TokenizationMode, place="tokenization", aliases=("tokenization",)
)
LOSS = ComponentKind("loss", Loss, place="loss")
MIXER = ComponentKind("mixer", Mixer, place="mixing.mixer")
BALANCER = ComponentKind("balancer", Balancer, place="balancer")
DATA_GENERATOR = ComponentKind(
    "data-generator",
    DataGenerator,
    place="tasks[].generator",
    further_places=("tasks[].valid.generator",),
    aliases=("generator",),
)
TASK_FORMAT = ComponentKind(
    "task-format",
    TaskFormat,
    place="tasks[].format",
    further_places=("evaluation.tasks[].format",),
    aliases=("format",),
)
TUNING = ComponentKind("tuning", Tuning, place="tuning")
OPTIMIZER = ComponentKind("optimizer", Optimizer, place="training.optimizer")
SCHEDULE = ComponentKind("schedule", Schedule, place="training.scheduler", aliases=("scheduler",))
TRACKER = ComponentKind("tracker", Tracker, place="trackers[]")
DATA_FILTER = ComponentKind("data-filter", DataFilter, place="tasks[].filters[]", aliases=("filter",))
EXECUTOR = ComponentKind("executor", Executor, place="tasks[].filters[].options.isolation", reserved=(AUTO,))
CHAT_MODEL = ComponentKind("chat-model", ChatModel, place="tasks[].generator.options.model")
GRADIENT_COMBINER = ComponentKind(
    "gradient-combiner", GradientCombiner, place="gradients", aliases=("combiner", "gradients")
)
CALLBACK = ComponentKind("callback", Callback, place="callbacks[]")
EVALUATOR = ComponentKind(
    "evaluator",
    Evaluator,
    place="tasks[].evaluate.evaluators[]",
    further_places=("evaluation.tasks[].evaluators[]",),
)
ENGINE = ComponentKind("engine", Engine, place="engine", reserved=(AUTO,))

KINDS = tuple(kind for kind in list(globals().values()) if isinstance(kind, ComponentKind))
"""All kinds, in the order in which they are listed."""
