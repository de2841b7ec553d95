"""The kinds of component. One line here, an interface, a conformance suite and templates make a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.interfaces import AUTO
from mftkit.plugins.component_kind import ComponentKind

if TYPE_CHECKING:
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
    from mftkit.interfaces.schedule import Schedule
    from mftkit.interfaces.task_format import TaskFormat
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.interfaces.tracker import Tracker
    from mftkit.interfaces.tuning import Tuning

MODEL_ADAPTER: ComponentKind[ModelAdapter] = ComponentKind(
    "model-adapter",
    "mftkit.interfaces.model:ModelAdapter",
    place="model.adapter",
    aliases=("model", "adapter"),
    reserved=(AUTO,),
)
TOKENIZATION_MODE: ComponentKind[TokenizationMode] = ComponentKind(
    "tokenization-mode",
    "mftkit.interfaces.tokenization:TokenizationMode",
    place="tokenization",
    aliases=("tokenization",),
)
LOSS: ComponentKind[Loss] = ComponentKind("loss", "mftkit.interfaces.loss:Loss", place="loss")
MIXER: ComponentKind[Mixer] = ComponentKind("mixer", "mftkit.interfaces.mixer:Mixer", place="mixing.mixer")
BALANCER: ComponentKind[Balancer] = ComponentKind(
    "balancer", "mftkit.interfaces.balancer:Balancer", place="balancer"
)
DATA_GENERATOR: ComponentKind[DataGenerator] = ComponentKind(
    "data-generator",
    "mftkit.interfaces.generator:DataGenerator",
    place="tasks[].generator",
    further_places=("tasks[].valid.generator",),
    aliases=("generator",),
)
TASK_FORMAT: ComponentKind[TaskFormat] = ComponentKind(
    "task-format",
    "mftkit.interfaces.task_format:TaskFormat",
    place="tasks[].format",
    further_places=("evaluation.tasks[].format",),
    aliases=("format",),
)
TUNING: ComponentKind[Tuning] = ComponentKind("tuning", "mftkit.interfaces.tuning:Tuning", place="tuning")
OPTIMIZER: ComponentKind[Optimizer] = ComponentKind(
    "optimizer", "mftkit.interfaces.optimizer:Optimizer", place="training.optimizer"
)
SCHEDULE: ComponentKind[Schedule] = ComponentKind(
    "schedule", "mftkit.interfaces.schedule:Schedule", place="training.scheduler", aliases=("scheduler",)
)
TRACKER: ComponentKind[Tracker] = ComponentKind(
    "tracker", "mftkit.interfaces.tracker:Tracker", place="trackers[]"
)
DATA_FILTER: ComponentKind[DataFilter] = ComponentKind(
    "data-filter", "mftkit.interfaces.data_filter:DataFilter", place="tasks[].filters[]", aliases=("filter",)
)
EXECUTOR: ComponentKind[Executor] = ComponentKind(
    "executor",
    "mftkit.interfaces.executor:Executor",
    place="tasks[].filters[].options.isolation",
    reserved=(AUTO,),
)
CHAT_MODEL: ComponentKind[ChatModel] = ComponentKind(
    "chat-model", "mftkit.interfaces.chat:ChatModel", place="tasks[].generator.options.model"
)
GRADIENT_COMBINER: ComponentKind[GradientCombiner] = ComponentKind(
    "gradient-combiner",
    "mftkit.interfaces.gradients:GradientCombiner",
    place="gradients",
    aliases=("combiner", "gradients"),
)
CALLBACK: ComponentKind[Callback] = ComponentKind(
    "callback", "mftkit.interfaces.callback:Callback", place="callbacks[]"
)
EVALUATOR: ComponentKind[Evaluator] = ComponentKind(
    "evaluator",
    "mftkit.interfaces.evaluator:Evaluator",
    place="tasks[].evaluate.evaluators[]",
    further_places=("evaluation.tasks[].evaluators[]",),
)
ENGINE: ComponentKind[Engine] = ComponentKind(
    "engine", "mftkit.interfaces.engine:Engine", place="engine", reserved=(AUTO,)
)

KINDS = tuple(kind for kind in list(globals().values()) if isinstance(kind, ComponentKind))
"""All kinds, in the order in which they are listed."""
