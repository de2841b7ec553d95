"""The training arguments of transformers, which LLaMA-Factory and TRL build on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.tools.spec_import.config import direct, ignored_keys
from mftkit.tools.spec_import.datasets import output_path
from mftkit.tools.spec_import.shared import (
    AdamKeys,
    translate_batch,
    translate_every,
    translate_kernels,
    translate_length,
    translate_optimizer,
    translate_precision,
    translate_rate,
    translate_schedule,
    translate_trackers,
    translate_warmup,
)

if TYPE_CHECKING:
    from mftkit.tools.spec_import.config import Config, Rule

DEFAULTS: dict[str, object] = {
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "learning_rate": 5e-5, "weight_decay": 0.0,
    "num_train_epochs": 3.0, "lr_scheduler_type": "linear", "max_grad_norm": 1.0, "seed": 42, "logging_steps": 500,
    "save_steps": 500, "save_strategy": "steps",
}  # fmt: skip
RULES: dict[str, Rule] = {
    "run_name": direct("name"),
    "save_total_limit": direct("training.keep_checkpoints"),
    "logging_steps": direct("training.log_every"),
    "weight_decay": direct("training.weight_decay"),
    "max_grad_norm": direct("training.max_grad_norm"),
    "seed": direct("seed"),
    **ignored_keys("training-arguments"),
}


def translate_arguments(config: Config) -> None:
    """Translate what transformers' TrainingArguments have."""
    if output := config.text("output_dir"):
        config.put("output", output_path(config, output))
        config.translated("output_dir", to="output")
    translate_batch(config, "per_device_train_batch_size", "gradient_accumulation_steps", config.devices)
    translate_length(config, "num_train_epochs", "max_steps")
    rate = translate_rate(config, "learning_rate")
    translate_schedule(config, "lr_scheduler_type", "lr_scheduler_kwargs", rate)
    if "lr_scheduler_kwargs" in config.given:
        config.without_meaning("lr_scheduler_kwargs", why="this schedule has no options")
    translate_warmup(config, "warmup_steps", "warmup_ratio")
    strategy = "evaluation_strategy" if "evaluation_strategy" in config.given else "eval_strategy"
    steps = "eval_steps" if config.value("eval_steps") is not None else "save_steps"
    if config.text(strategy) in (None, "no") and "eval_steps" not in config.given:
        config.put("training.evaluate_every", "epoch")
        config.approximated(
            strategy, to="training.evaluate_every", why="validation cannot be turned off; set valid to 0"
        )
    else:
        translate_every(
            config, "evaluate_every", steps if steps == "eval_steps" else "logging_steps", strategy
        )
    config.outcomes.pop("logging_steps", None)
    translate_every(config, "checkpoint_every", "save_steps", "save_strategy")
    translate_precision(config, "bf16", "fp16")
    if config.value("report_to") is not None:
        translate_trackers(config, "report_to")
    translate_optimizer(config, "optim", AdamKeys())
    translate_kernels(config, "use_liger_kernel", "enable_liger_kernel")
    for key, path in (
        ("logging_steps", "training.log_every"),
        ("weight_decay", "training.weight_decay"),
        ("max_grad_norm", "training.max_grad_norm"),
        ("seed", "seed"),
    ):
        if (value := config.number(key)) is not None:
            config.put(path, max(1, int(value)) if key in ("logging_steps", "seed") else value or None)
    config.spec.content["seed"] = int(config.number("seed") or 0)
    config.put("training.weight_decay", config.number("weight_decay") or 0)
    config.translated("logging_steps", to="training.log_every")
    config.translated("weight_decay", to="training.weight_decay")
    config.translated("max_grad_norm", to="training.max_grad_norm")
    config.translated("seed", to="seed")
