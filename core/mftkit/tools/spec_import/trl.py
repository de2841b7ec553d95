"""Configs of ``trl sft --config``, in YAML: SFTConfig, ModelConfig and ScriptArguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.tools.spec_import import hf_arguments
from mftkit.tools.spec_import.components import component
from mftkit.tools.spec_import.config import direct, ignored_keys
from mftkit.tools.spec_import.datasets import source, task_name, translate_model, translate_revision
from mftkit.tools.spec_import.shared import (
    AdapterKeys,
    refuse_other_training,
    translate_attention,
    translate_tuning,
)

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_import.config import Config, Rule

NAME = "TRL"
DEFAULTS: dict[str, object] = {
    **hf_arguments.DEFAULTS,
    "learning_rate": 2e-5, "logging_steps": 10, "max_length": 1024, "gradient_checkpointing": True, "lora_r": 16,
    "lora_alpha": 32, "lora_dropout": 0.05, "lora_target_modules": "all-linear", "dataset_train_split": "train",
    "dataset_test_split": "test", "packing_strategy": "bfd", "dataset_text_field": "text",
}  # fmt: skip
_ADAPTER = AdapterKeys(
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_target_modules",
    {
        "lora_modules_to_save": "modules_to_save",
        "use_rslora": "use_rslora",
        "use_dora": "use_dora",
        "lora_target_parameters": "target_parameters",
    },
)
_DTYPES = {"float32": "float32", "bfloat16": "bfloat16", "auto": "auto"}
_OTHER_TRAINERS = (
    "beta",
    "num_generations",
    "reward_funcs",
    "reward_model_name_or_path",
    "reward_model_path",
    "desirable_weight",
    "undesirable_weight",
    "max_completion_length",
    "teacher_model_name_or_path",
)
"""Keys that only other trainers have: the file itself does not name its trainer."""
_DATASET_KEYS = {"path", "name", "split", "data_files", "data_dir", "columns"}
_RULES: dict[str, Rule] = {
    **hf_arguments.RULES,
    "trust_remote_code": direct("model.trust_remote_code"),
    **ignored_keys("trl"),
}


def translate(config: Config) -> None:
    """Translate a config of TRL's supervised fine-tuning."""
    for key in _OTHER_TRAINERS:
        refuse_other_training(config, key)
    refuse_other_training(config, "loss_type", ("nll", "chunked_nll", "dft"))
    _model(config)
    _tasks(config)
    _rows(config)
    hf_arguments.translate_arguments(config)
    config.put("training.gradient_checkpointing", config.flag("gradient_checkpointing"))
    config.translated("gradient_checkpointing", to="training.gradient_checkpointing")
    config.apply(_RULES)


def _model(config: Config) -> None:
    translate_model(config, "model_name_or_path")
    translate_revision(config, "model_revision")
    key = "torch_dtype" if "torch_dtype" in config.given else "dtype"
    if dtype := config.text(key):
        config.put("model.dtype", _DTYPES.get(dtype, "auto"))
        if dtype in _DTYPES:
            config.approximated(key, to="model.dtype", why="trained weights are always at least float32")
        else:
            config.approximated(key, to='model.dtype "auto"', why=f"there is no {dtype}")
    names = {
        name: name for name in ("flash_attention_2", "flash_attention_3", "sdpa", "eager", "flex_attention")
    }
    translate_attention(config, "attn_implementation", names)
    adapter, four, eight = config.flag("use_peft"), config.flag("load_in_4bit"), config.flag("load_in_8bit")
    meaning = "all parameters" if not adapter else "adapter on 4 bits" if four else "adapter"
    if eight:
        config.approximated(
            "load_in_8bit", to="tuning.method", why="8 bits are not available; no quantization"
        )
    if four and not adapter:
        config.approximated(
            "load_in_4bit", to="tuning.method", why="without an adapter, nothing is quantized"
        )
    config.translated("use_peft", "load_in_4bit", "load_in_8bit", to="tuning.method")
    translate_tuning(config, meaning, _ADAPTER, all_linear=("all-linear",))


def _tasks(config: Config) -> None:
    mixture = config.value("datasets")
    tasks: list[JsonObject] = []
    single = ("dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split")
    if isinstance(mixture, list) and mixture:
        for index, entry in enumerate(mixture):
            tasks.append(
                _of_mixture(config, index, entry if isinstance(entry, dict) else {"path": entry}, tasks)
            )
        config.translated("datasets", to="tasks")
        config.without_meaning(*single, why=f"{NAME} ignores it beside datasets")
    elif name := config.text("dataset_name"):
        tasks.append(_single(config, name))
    else:
        config.missing.append("tasks: the data set")
        tasks.append({"name": "task", "train": ["DATA"], "valid": 0})
    config.translated(*single, to="tasks[].train and tasks[].valid")
    config.translated("test_split_size", to="tasks[].valid")
    config.without_meaning("dataset_streaming", "streaming", why="data is read from a memory-mapped cache")
    column = config.text("dataset_text_field")
    if "dataset_text_field" in config.given:
        for task in tasks:
            task["format"] = "text"
            if column and column != "text":
                task["columns"] = {column: "text"}
        config.translated("dataset_text_field", to="tasks[].columns and tasks[].format")
    config.spec.content["tasks"] = tasks


def _single(config: Config, name: str) -> JsonObject:
    more = {"name": config.text("dataset_config")}
    split, test = config.text("dataset_train_split"), config.text("dataset_test_split")
    train = source(config, "tasks.0.train", name, split=split, **more)
    task: JsonObject = {"name": task_name(name, []), "train": train if isinstance(train, dict) else [train]}
    evaluates = config.text("eval_strategy") not in (None, "no")
    if evaluates and isinstance(train, dict):
        task["valid"] = source(config, "tasks.0.valid", name, split=test, **more)
    else:
        task["valid"] = 0.05 if evaluates else 0
    return task


def _of_mixture(config: Config, index: int, entry: JsonObject, before: list[JsonObject]) -> JsonObject:
    path = str(entry.get("path", "DATA"))
    for key in entry.keys() - _DATASET_KEYS:
        config.without_meaning(f"datasets[{index}].{key}", why="unknown to this importer")
    if entry.get("data_dir"):
        why = "write the directory as the path, or its files as data_files"
        config.without_meaning(f"datasets[{index}].data_dir", why=why)
    if entry.get("columns"):
        config.without_meaning(f"datasets[{index}].columns", why="other columns are reported and not read")
    train = source(
        config,
        f"tasks.{index}.train",
        path,
        split=entry.get("split"),
        name=entry.get("name"),
        data_files=_files(entry),
    )
    names = [str(task["name"]) for task in before]
    return {
        "name": task_name(path, names),
        "train": train if isinstance(train, dict) else [train],
        "valid": config.number("test_split_size") or 0,
    }


def _files(entry: JsonObject) -> object:
    """Return the files of a data set; of files by split, only those of its split."""
    given = entry.get("data_files")
    return given.get(entry.get("split") or "train") if isinstance(given, dict) else given


def _rows(config: Config) -> None:
    length = (
        "max_length"
        if "max_length" in config.given or "max_seq_length" not in config.given
        else "max_seq_length"
    )
    if (tokens := config.count(length)) is not None:
        config.put("max_length", tokens)
        config.translated(length, to="max_length")
    if config.given.get("max_length", 0) is None:
        config.missing.append("max_length: no row is truncated in TRL; write the longest length")
    config.translated("max_length", "max_seq_length", to="max_length")
    if config.text("truncation_mode") == "keep_end":
        config.approximated(
            "truncation_mode", to="data.overlong", why="the end of a row is cut off, not its start"
        )
    config.translated("truncation_mode", to="data.overlong")
    _packing(config)
    _loss(config)


def _packing(config: Config) -> None:
    strategy = config.text("packing_strategy")
    if config.flag("packing"):
        shared = strategy == "wrapped"
        options = {"attention": "shared" if shared else "isolated"}
        config.put("tokenization", {"name": component("packed"), "options": options})
        if strategy != "bfd":
            config.approximated(
                "packing_strategy", to="tokenization", why="samples are never split over rows"
            )
    elif config.flag("padding_free"):
        config.put("tokenization", component("packed"))
    else:
        config.put("tokenization", component("padded to the longest"))
    config.translated("packing", "packing_strategy", "padding_free", to="tokenization")


def _loss(config: Config) -> None:
    config.put(
        "loss",
        component("mean over all tokens"),
        f"plain cross-entropy, as in {NAME}; docs/losses.md has others",
    )
    kind = config.text("loss_type")
    if kind == "dft":
        config.approximated("loss_type", to="loss", why=f"there is no loss {kind!r}")
    config.translated("loss_type", to="loss")
    texts = [task for task in config.spec.content["tasks"] if task.get("format") == "text"]
    if not config.flag("assistant_only_loss") and not texts:
        why = "all tokens of a conversation are in TRL's loss; here the answers only"
        config.approximated("assistant_only_loss", to="tasks[].format", why=why)
    config.translated("assistant_only_loss", to="tasks[].format: the answers are in the loss")
    if config.value("completion_only_loss") is False:
        why = "the prompt is in TRL's loss; here the answers only"
        config.approximated("completion_only_loss", to="tasks[].format", why=why)
    config.translated("completion_only_loss", to="tasks[].format: the answers are in the loss")
    if template := config.text("chat_template_path"):
        config.approximated(
            "chat_template_path", to="chat.format", why=f"save {template} in the tokenizer of the model"
        )
