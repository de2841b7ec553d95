"""The kinds of component that the program knows, and the hooks through which plugins give them."""

from __future__ import annotations

from mftkit_registry import Kind

MODEL_ADAPTER = Kind(
    "model-adapter",
    "register_model_adapters",
    "mftkit.interfaces.model:ModelAdapter",
    aliases=("model", "adapter"),
    reserved=("auto",),
)
TOKENIZATION_MODE = Kind(
    "tokenization-mode",
    "register_tokenization_modes",
    "mftkit.interfaces.tokenization:TokenizationMode",
    aliases=("tokenization",),
)
LOSS = Kind("loss", "register_losses", "mftkit.interfaces.loss:Loss")
BALANCER = Kind("balancer", "register_balancers", "mftkit.interfaces.balancer:Balancer")
DATA_GENERATOR = Kind(
    "data-generator",
    "register_data_generators",
    "mftkit.interfaces.generator:DataGenerator",
    aliases=("generator",),
)
TUNING = Kind("tuning", "register_tunings", "mftkit.interfaces.tuning:Tuning")
TRACKER = Kind("tracker", "register_trackers", "mftkit.interfaces.tracker:Tracker")
DATA_FILTER = Kind(
    "data-filter", "register_data_filters", "mftkit.interfaces.data_filter:DataFilter", aliases=("filter",)
)
EXECUTOR = Kind("executor", "register_executors", "mftkit.interfaces.executor:Executor", reserved=("auto",))
CHAT_MODEL = Kind("chat-model", "register_chat_models", "mftkit.interfaces.chat:ChatModel")
GRADIENT_COMBINER = Kind(
    "gradient-combiner",
    "register_gradient_combiners",
    "mftkit.interfaces.gradients:GradientCombiner",
    aliases=("combiner", "gradients"),
)

KINDS = (
    MODEL_ADAPTER,
    TOKENIZATION_MODE,
    LOSS,
    BALANCER,
    DATA_GENERATOR,
    TUNING,
    TRACKER,
    DATA_FILTER,
    EXECUTOR,
    CHAT_MODEL,
    GRADIENT_COMBINER,
)
