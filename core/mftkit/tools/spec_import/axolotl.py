"""Axolotl's configs, in YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.tools.spec_import.axolotl_datasets import translate_tasks
from mftkit.tools.spec_import.components import component, meaning_of
from mftkit.tools.spec_import.config import ignored_keys
from mftkit.tools.spec_import.datasets import (
    is_local,
    local_path,
    output_path,
    translate_model,
    translate_revision,
    translate_start,
)
from mftkit.tools.spec_import.shared import (
    AdamKeys,
    AdapterKeys,
    check_supervised,
    translate_batch,
    translate_every,
    translate_kernels,
    translate_length,
    translate_optimizer,
    translate_precision,
    translate_rate,
    translate_schedule,
    translate_tuning,
    translate_warmup,
)

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_import.config import Config

NAME = "Axolotl"
DEFAULTS: dict[str, object] = {
    "gradient_accumulation_steps": 1, "micro_batch_size": 1, "num_epochs": 1.0, "weight_decay": 0.0,
    "lr_scheduler": "cosine", "sequence_len": 512, "lora_dropout": 0.0, "val_set_size": 0.0, "seed": 42,
}  # fmt: skip
_ADAPTER = AdapterKeys(
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_target_modules",
    {
        "lora_modules_to_save": "modules_to_save",
        "peft_use_dora": "use_dora",
        "peft_use_rslora": "use_rslora",
        "peft_layers_to_transform": "layers_to_transform",
        "peft_layers_pattern": "layers_pattern",
        "lora_fan_in_fan_out": "fan_in_fan_out",
    },
)
_ATTENTION = {
    "flash_attention": "flash_attention_2", "sdp_attention": "sdpa", "eager_attention": "eager",
    "flex_attention": "flex_attention",
}  # fmt: skip
_KERNELS = ("liger_rope", "liger_rms_norm", "liger_glu_activation", "liger_swiglu")


def translate(config: Config) -> None:
    """Translate a config of Axolotl."""
    check_supervised(config, "rl", ())
    _model(config)
    _tuning(config)
    translate_tasks(config)
    _rows(config)
    _training(config)
    _trackers(config)
    config.apply(ignored_keys("axolotl"))


def _model(config: Config) -> None:
    translate_model(config, "base_model")
    if tokenizer := config.text("tokenizer_config"):
        local = is_local(tokenizer)
        config.put(
            "model.tokenizer", local_path(config, tokenizer, "model.tokenizer") if local else tokenizer
        )
        config.translated("tokenizer_config", to="model.tokenizer")
    translate_revision(config, "revision_of_model", "model_revision")
    if config.flag("trust_remote_code"):
        config.put("model.trust_remote_code", True)
    config.translated("trust_remote_code", to="model.trust_remote_code")
    for key, name in _ATTENTION.items():
        if config.flag(key):
            config.put("model.attention", name)
        config.translated(key, to="model.attention")
    translate_precision(config, "bf16", "fp16")
    config.translated("bfloat16", "float16", to="model.dtype")
    if output := config.text("output_dir"):
        config.put("output", output_path(config, output))
        config.translated("output_dir", to="output")


def _tuning(config: Config) -> None:
    adapter = config.text("adapter")
    meaning = meaning_of("tuning", adapter)
    if meaning is None:
        config.approximated(
            "adapter", to="tuning", why=f"there is no tuning {adapter!r}; all parameters train"
        )
        meaning = "all parameters"
    if meaning == "adapter" and config.flag("load_in_4bit"):
        meaning = "adapter on 4 bits"
    if config.flag("load_in_8bit"):
        config.approximated(
            "load_in_8bit", to="tuning.method", why="8 bits are not available; no quantization"
        )
    config.translated("adapter", "load_in_4bit", "load_in_8bit", to="tuning.method")
    if config.flag("lora_target_linear"):
        config.defaults = {**config.defaults, "lora_target_modules": ["all-linear"]}
    config.translated("lora_target_linear", to="tuning.targets")
    translate_tuning(config, meaning, _ADAPTER, all_linear=("all-linear",))
    adapter_directory = config.text("lora_model_dir")
    translate_start(config, [adapter_directory] if adapter_directory else [], "lora_model_dir")


def _rows(config: Config) -> None:
    config.put("max_length", config.count("sequence_len") or 512)
    config.translated("sequence_len", to="max_length")
    if config.flag("sample_packing"):
        config.put("tokenization", component("packed"))
        config.translated("pad_to_sequence_len", to="nothing: packed rows are full")
    else:
        padded = config.flag("pad_to_sequence_len")
        config.put("tokenization", component("padded" if padded else "padded to the longest"))
    config.translated("sample_packing", "pad_to_sequence_len", to="tokenization")
    config.put(
        "loss",
        component("mean over all tokens"),
        f"plain cross-entropy, as in {NAME}; docs/losses.md has others",
    )
    template = config.text("chat_template")
    if template == "tokenizer_default":
        config.put("chat.format", "template")
        config.translated("chat_template", to="chat.format")
    elif template:
        config.put("chat.format", "auto")
        why = f"the tokenizer's own chat template is used, not {template!r}"
        config.approximated("chat_template", to="chat.format", why=why)
    if config.flag("train_on_inputs"):
        why = "only the answers of a chat are in the loss"
        config.approximated("train_on_inputs", to="tasks[].format", why=why)
    config.translated("train_on_inputs", to="the answers are in the loss")
    overflow = config.text("excess_length_strategy")
    config.put(
        "data.overlong", "truncate" if overflow == "truncate" else "drop", f"{NAME}'s rule for long rows"
    )
    config.translated("excess_length_strategy", to="data.overlong")


def _training(config: Config) -> None:
    if (total := config.count("batch_size")) and "gradient_accumulation_steps" not in config.given:
        rows = config.count("micro_batch_size") or 1
        config.put("training.batch_size", total)
        config.put("training.micro_batch_size", min(rows, total))
        config.translated(
            "batch_size", "micro_batch_size", to="training.batch_size, training.micro_batch_size"
        )
    else:
        translate_batch(config, "micro_batch_size", "gradient_accumulation_steps", config.devices)
        config.without_meaning("batch_size", why="the accumulation steps decide")
    translate_length(config, "num_epochs", "max_steps")
    rate = translate_rate(config, "learning_rate")
    translate_schedule(config, "lr_scheduler", "lr_scheduler_kwargs", rate)
    if (share := config.number("cosine_min_lr_ratio")) is not None and rate:
        config.put("training.min_learning_rate", float(f"{rate * share:.10g}"))
        config.translated("cosine_min_lr_ratio", to="training.min_learning_rate")
    translate_warmup(config, "warmup_steps", "warmup_ratio")
    strategy = "evaluation_strategy" if "evaluation_strategy" in config.given else "eval_strategy"
    translate_every(config, "evaluate_every", "eval_steps", strategy, "evals_per_epoch")
    translate_every(config, "checkpoint_every", "save_steps", "save_strategy", "saves_per_epoch")
    for key, path in (("logging_steps", "log_every"), ("save_total_limit", "keep_checkpoints")):
        if count := config.count(key):
            config.put(f"training.{path}", count)
        config.translated(key, to=f"training.{path}")
    if norm := config.number("max_grad_norm"):
        config.put("training.max_grad_norm", norm)
    config.put("training.weight_decay", config.number("weight_decay") or 0)
    config.put("seed", int(config.number("seed") or 0))
    config.translated("max_grad_norm", to="training.max_grad_norm")
    config.translated("weight_decay", to="training.weight_decay")
    config.translated("seed", to="seed")
    kind = config.value("gradient_checkpointing")
    config.put("training.gradient_checkpointing", bool(kind))
    if isinstance(kind, str) and kind not in ("true", "false"):
        why = f"{kind!r}: activations are recomputed, not moved"
        config.approximated("gradient_checkpointing", to="training.gradient_checkpointing", why=why)
    config.translated("gradient_checkpointing", to="training.gradient_checkpointing")
    patience = config.count("early_stopping_patience")
    if patience and any(task["valid"] for task in config.spec.content["tasks"]):
        config.put("training.early_stopping", {"patience": patience})
    config.translated("early_stopping_patience", to="training.early_stopping.patience")
    translate_optimizer(config, "optimizer", AdamKeys())
    translate_kernels(config, *_KERNELS)


def _trackers(config: Config) -> None:
    trackers: list[object] = []
    if project := config.text("wandb_project"):
        options: JsonObject = {"project": project}
        if entity := config.text("wandb_entity"):
            options["entity"] = entity
        if config.text("wandb_mode") == "online":
            options["mode"] = "online"
        trackers.append({"name": component("weights and biases"), "options": options})
        config.approximated(
            "wandb_project", to="trackers", why="offline unless the option mode is set to online"
        )
        config.translated("wandb_entity", "wandb_mode", to="trackers")
    if config.flag("use_tensorboard"):
        trackers.append(component("event files"))
    config.translated("use_tensorboard", to="trackers")
    if uri := config.text("mlflow_tracking_uri"):
        options = {"tracking_uri": uri}
        if experiment := config.text("mlflow_experiment_name"):
            options["experiment"] = experiment
        trackers.append({"name": component("experiment server"), "options": options})
        config.translated("mlflow_tracking_uri", "mlflow_experiment_name", to="trackers")
    if trackers:
        config.spec.content["trackers"] = trackers
