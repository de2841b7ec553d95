"""MFTCoder's training configs, in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.tools.spec_import.components import component, meaning_of
from mftkit.tools.spec_import.config import direct, ignored_keys
from mftkit.tools.spec_import.datasets import local_path, output_path, task_name, translate_model
from mftkit.tools.spec_import.shared import (
    AdapterKeys,
    check_supervised,
    translate_attention,
    translate_batch,
    translate_every,
    translate_length,
    translate_rate,
    translate_schedule,
    translate_tuning,
    translate_warmup,
)
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_import.config import Config, Rule

NAME = "MFTCoder"
DEFAULTS: dict[str, object] = {
    "data_split": "98,2,0", "tokenize_mode": "sft", "weighted_loss_mode": "case3",
    "peft_type": None, "lora_rank": 96, "lora_alpha": 32, "lora_dropout": 0.05, "per_device_train_batch_size": 8,
    "learning_rate": 5e-5, "min_lr": 5e-6, "weight_decay": 0.01, "gradient_accumulation_steps": 1,
    "lr_scheduler_type": "cosine", "num_warmup_steps": 0.05, "num_train_epochs": 4, "seed": 1234, "seq_length": 4096,
    "log_interval": 10, "checkpointing_steps": 100, "evaluation_steps": 100, "early_stopping": True,
    "early_stopping_stall_num": 5, "use_dynamic_padding": True,
}  # fmt: skip
_ADAPTER = AdapterKeys("lora_rank", "lora_alpha", "lora_dropout", "target_modules", {})
_BALANCER = {
    "coba_warmup_steps": "warmup", "coba_history_length": "window", "coba_tau": "temperature",
    "coba_update_interval": "every",
}  # fmt: skip
_RULES: dict[str, Rule] = {
    "seed": direct("seed"),
    "seq_length": direct("max_length"),
    "log_interval": direct("training.log_every"),
    "weight_decay": direct("training.weight_decay"),
    "saving_limit": direct("training.keep_checkpoints"),
    **ignored_keys("mftcoder"),
}


def translate(config: Config) -> None:
    """Translate a config of MFTCoder."""
    check_supervised(config, "xxpo", ())
    _model(config)
    _tasks(config)
    _loss(config)
    _rows(config)
    world = config.count("world_size")
    devices = config.devices if config.devices > 1 or world is None else world
    translate_batch(config, "per_device_train_batch_size", "gradient_accumulation_steps", devices)
    if world is not None:
        config.approximated(
            "world_size", to="training.batch_size", why="it is a factor of the effective batch"
        )
    translate_length(config, "num_train_epochs", "max_train_steps")
    translate_rate(config, "learning_rate", "min_lr")
    translate_schedule(config, "lr_scheduler_type")
    translate_warmup(config, "num_warmup_steps")
    evaluation = "evalation_steps" if "evalation_steps" in config.given else "evaluation_steps"
    translate_every(config, "evaluate_every", evaluation, None)
    translate_every(config, "checkpoint_every", "checkpointing_steps", None)
    if config.flag("epoch_checkpointing"):
        steps = config.spec.content["training"]["checkpoint_every"]
        config.put("training.checkpoint_every", "epoch" if steps == "epoch" else [steps, "epoch"])
    config.translated("epoch_checkpointing", to="training.checkpoint_every")
    config.put("training.gradient_checkpointing", True, "always on in MFTCoder")
    for key, rule in (("seed", "seed"), ("seq_length", "max_length"), ("log_interval", "training.log_every"),
                      ("weight_decay", "training.weight_decay")):  # fmt: skip
        config.put(rule, config.value(key))
    config.apply(_RULES)


def _model(config: Config) -> None:
    translate_model(config, "pretrained_model_path")
    translate_attention(
        config,
        "attn_implementation",
        {"flash_attention_2": "flash_attention_2", "eager": "eager", "sdpa": "sdpa"},
    )
    if (output := config.text("output_dir")) and "$" not in output:
        config.put("output", output_path(config, output))
        config.translated("output_dir", to="output")
    else:
        config.approximated("output_dir", to="output", why="a placeholder; the default is runs/NAME")
    if (directory := config.text("tb_dir")) and "$" not in directory:
        options = {"directory": output_path(config, directory)}
        config.spec.content["trackers"] = [{"name": component("event files"), "options": options}]
        config.translated("tb_dir", to="trackers")
    elif directory:
        config.spec.content["trackers"] = [component("event files")]
        config.approximated("tb_dir", to="trackers", why="a placeholder; the files are in the run directory")
    meaning = meaning_of("tuning", config.text("peft_type"))
    if meaning is None:
        raise MftError(f"{config.path}: peft_type: {config.text('peft_type')}: there is no such tuning here")
    bits = config.text("quantization")
    quantized = meaning == "adapter" and bits == "4bit"
    config.translated("peft_type", to="tuning.method")
    if bits == "8bit":
        config.approximated(
            "quantization", to="tuning.method", why="8 bits are not available; the base is not quantized"
        )
        meaning = "adapter"
    config.translated("quantization", to="tuning.method")
    translate_tuning(config, "adapter on 4 bits" if quantized else meaning, _ADAPTER)


def _tasks(config: Config) -> None:
    given = config.value("data_paths")
    paths = given if isinstance(given, list) else str(given or "").strip().strip("[]").split(",")
    paths = [str(path).strip().strip("'\"") for path in paths if str(path).strip()]
    if not paths:
        config.missing.append("tasks: the directories of the tasks' rows")
        paths = ["DATA"]
    shares = [float(part) for part in str(config.value("data_split")).split(",") if part.strip()]
    total = sum(shares, 0.0)
    fraction = round(shares[1] / total, 6) if len(shares) > 1 and total else 0
    tasks: list[JsonObject] = []
    weights = str(config.value("task_weights") or "").strip("[]").split(",")
    for index, path in enumerate(paths):
        name = task_name(path, [task["name"] for task in tasks])
        task: JsonObject = {"name": name, "train": [local_path(config, path, f"tasks.{index}.train")]}
        if config.text("tokenize_mode") == "sst":
            task["format"] = "text"
        if config.text("task_weights") and index < len(weights):
            task["weight"] = float(weights[index])
        task["valid"] = fraction
        tasks.append(task)
    config.spec.content["tasks"] = tasks
    config.translated("data_paths", to="tasks[].train")
    if len(shares) > 2 and shares[2]:
        config.approximated(
            "data_split", to="tasks[].valid", why="there is no test part; its rows are trained"
        )
    config.approximated(
        "data_split", to="tasks[].valid", why="the validation rows are others: chosen by their content"
    )
    config.translated("tokenize_mode", to="tasks[].format")


def _loss(config: Config) -> None:
    mode = config.text("weighted_loss_mode")
    meaning = meaning_of("weighted_loss_mode", mode)
    balancing = meaning == "convergence"
    loss = "mean over each task's tokens" if balancing or meaning is None else meaning
    if mode == "case2":
        loss = "mean over each task's samples"
        config.approximated(
            "weighted_loss_mode", to="loss", why="the mean over samples is taken per task first"
        )
    elif meaning is None:
        config.approximated(
            "weighted_loss_mode", to="loss", why=f"there is no {mode!r}; tasks weigh the same"
        )
    config.put("loss", component(loss))
    config.translated("weighted_loss_mode", to="loss and balancer" if balancing else "loss")
    if balancing:
        options: JsonObject = {}
        for key, option in _BALANCER.items():
            if (number := config.number(key)) is not None:
                options[option] = int(number) if number == int(number) else number
                config.translated(key, to=f"balancer.options.{option}")
        if batches := config.count("coba_sample_valid_num"):
            options["samples"] = batches * (config.count("per_device_eval_batch_size") or 1)
            why = "validation samples per task, not mini-batches of all tasks"
            config.approximated("coba_sample_valid_num", to="balancer.options.samples", why=why)
        config.spec.content["balancer"] = {"name": component("convergence"), "options": options}
    elif config.text("task_weights"):
        config.spec.content["balancer"] = component("given weights")
    config.without_meaning(*_BALANCER, "coba_sample_valid_num", why="weighted_loss_mode does not use it")
    config.translated(
        "task_weights",
        to="tasks[].weight, which this balancer does not read" if balancing else "tasks[].weight",
    )
    if balancing:
        for task in config.spec.content["tasks"]:
            task.pop("weight", None)


def _rows(config: Config) -> None:
    mode = config.text("padding_mode")
    if mode is None or meaning_of("padding_mode", mode) is not None:
        dynamic = config.flag("use_dynamic_padding")
        config.put("tokenization", component("padded to the longest" if dynamic else "padded"))
        config.translated("padding_mode", "use_dynamic_padding", to="tokenization")
    else:
        config.put(
            "tokenization", {"name": component("packed"), "options": {"attention": "shared", "scope": "task"}}
        )
        config.translated("padding_mode", to="tokenization, with attention to earlier samples of the row")
        config.without_meaning("use_dynamic_padding", why=f"padding_mode is {mode!r}")
    config.put("chat.format", "markers", "MFTCoder does not use the model's chat template")
    markers = config.value("role_markers")
    if isinstance(markers, dict):
        config.put(
            "chat.markers", {role: str(markers.get(role, "")) for role in ("system", "user", "assistant")}
        )
        config.translated("role_markers", to="chat.markers")
    if config.flag("early_stopping") and any(task["valid"] for task in config.spec.content["tasks"]):
        config.put("training.early_stopping", {"patience": config.count("early_stopping_stall_num") or 5})
    config.translated("early_stopping", "early_stopping_stall_num", to="training.early_stopping")
