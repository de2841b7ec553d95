"""LLaMA-Factory's training configs, in YAML or JSON, with the descriptions of data sets beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.tools.spec_import import hf_arguments
from mftkit.tools.spec_import.components import component, meaning_of
from mftkit.tools.spec_import.config import direct, ignored_keys
from mftkit.tools.spec_import.datasets import (
    source,
    task_name,
    translate_model,
    translate_revision,
    translate_start,
)
from mftkit.tools.spec_import.shared import (
    AdapterKeys,
    check_supervised,
    translate_attention,
    translate_tuning,
)
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_import.config import Config, Rule

NAME = "LLaMA-Factory"
DEFAULTS: dict[str, object] = {
    **hf_arguments.DEFAULTS,
    "stage": "sft", "dataset_dir": "data", "cutoff_len": 2048,
    "lora_rank": 8, "lora_dropout": 0.0, "lora_target": "all", "val_size": 0.0,
}  # fmt: skip
_ADAPTER = AdapterKeys(
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "lora_target",
    {"use_rslora": "use_rslora", "use_dora": "use_dora", "additional_target": "modules_to_save"},
)
_ALPACA = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "system": "system",
    "history": "history",
}
_CONVERSATION = {"system": "system", "tools": "tools"}
_ROLES = {
    "user_tag": ("human", "user"), "assistant_tag": ("gpt", "assistant"), "system_tag": ("system",),
    "observation_tag": ("observation", "tool"), "function_tag": ("function_call",),
}  # fmt: skip
_UNUSED = {
    "ms_hub_url": "data sets are read from Hugging Face or from files",
    "om_hub_url": "data sets are read from Hugging Face or from files",
    "script_url": "scripts that load data sets are not run",
    "folder": "name the files of the data set with data_files",
    "num_samples": "the number of rows of a task is not limited",
}
_RULES: dict[str, Rule] = {
    **hf_arguments.RULES,
    "trust_remote_code": direct("model.trust_remote_code"),
    **ignored_keys("llamafactory"),
}


def translate(config: Config) -> None:
    """Translate a config of LLaMA-Factory."""
    check_supervised(config, "stage", ("sft", "pt"))
    _model(config)
    _tasks(config)
    _rows(config)
    hf_arguments.translate_arguments(config)
    if config.flag("use_muon"):
        config.put("training.optimizer", component("orthogonalized"))
    config.translated("use_muon", to="training.optimizer")
    config.put("training.gradient_checkpointing", not config.flag("disable_gradient_checkpointing"))
    for key in ("disable_gradient_checkpointing", "gradient_checkpointing"):
        config.translated(key, to="training.gradient_checkpointing")
    if patience := config.count("early_stopping_steps"):
        config.put("training.early_stopping", {"patience": patience})
        config.translated("early_stopping_steps", to="training.early_stopping.patience, in validations")
    config.apply(_RULES)


def _model(config: Config) -> None:
    translate_model(config, "model_name_or_path")
    translate_revision(config, "model_revision")
    translate_attention(
        config, "flash_attn", {"fa2": "flash_attention_2", "sdpa": "sdpa", "disabled": "eager"}
    )
    method = config.text("finetuning_type")
    meaning = "adapter" if method is None else meaning_of("tuning", method)
    bits = config.count("quantization_bit")
    config.translated("finetuning_type", to="tuning.method")
    if meaning is None:
        config.outcomes.pop("finetuning_type", None)
        config.approximated(
            "finetuning_type", to="tuning", why=f"there is no tuning {method!r}; all parameters train"
        )
        meaning = "all parameters"
    if bits == 4 and meaning == "adapter":
        meaning = "adapter on 4 bits"
        config.translated("quantization_bit", to="tuning.method")
    elif bits:
        config.approximated(
            "quantization_bit", to="tuning.method", why=f"{bits} bits are not available; no quantization"
        )
    if config.value("lora_alpha") is None and (rank := config.count("lora_rank")):
        config.defaults = {**config.defaults, "lora_alpha": 2 * rank}
    translate_tuning(config, meaning, _ADAPTER, all_linear=("all",))
    _start(config)


def _start(config: Config) -> None:
    """Translate adapters that are continued or merged."""
    folder = config.text("adapter_folder")
    names = _names(config.value("adapter_name_or_path"))
    adapters = [f"{folder.rstrip('/')}/{name}" if folder else name for name in names]
    if not adapters:
        config.without_meaning("adapter_folder", "create_new_adapter", why="no adapter is named")
    translate_start(config, adapters, "adapter_name_or_path", new_adapter=config.flag("create_new_adapter"))
    config.translated("adapter_folder", to="model.start_from")
    config.translated("create_new_adapter", to="model.start_adapter")


def _tasks(config: Config) -> None:
    names = _names(config.value("dataset"))
    if not names:
        config.missing.append("tasks: the data sets")
        names = ["DATA"]
    known, directory = _descriptions(config)
    held_out = _names(config.value("eval_dataset"))
    tasks: list[JsonObject] = []
    for index, name in enumerate(names):
        task: JsonObject = {"name": task_name(name, [task["name"] for task in tasks])}
        task |= _data(config, name, known.get(name), directory, f"tasks.{index}.train")
        if len(held_out) == len(names):
            other = held_out[index]
            task["valid"] = _data(config, other, known.get(other), directory, f"tasks.{index}.valid")["train"]
        else:
            task["valid"] = 0 if held_out else _fraction(config)
        tasks.append(task)
    if held_out and len(held_out) != len(names):
        found = [
            _data(config, name, known.get(name), directory, "tasks.0.valid")["train"] for name in held_out
        ]
        tasks[0]["valid"] = [
            each for entry in found for each in (entry if isinstance(entry, list) else [entry])
        ]
        config.approximated(
            "eval_dataset", to="tasks.0.valid", why="validation rows belong to a task; move them"
        )
    config.translated("eval_dataset", to="tasks[].valid")
    config.translated("dataset", "dataset_dir", to="tasks[].train")
    config.translated("val_size", to="tasks[].valid")
    config.spec.content["tasks"] = tasks
    shares = _names(config.value("interleave_probs"))
    if len(shares) == len(tasks):
        proportions = {task["name"]: float(share) for task, share in zip(tasks, shares, strict=True)}
        config.spec.content["mixing"] = {"proportions": proportions}
        config.approximated(
            "interleave_probs", "mix_strategy", to="mixing", why="an epoch has as many samples as all tasks"
        )
    config.translated("mix_strategy", to="every sample once, as by default")
    if most := config.count("max_samples"):
        why = f"the number of rows of a task is not limited: use a part of the data ({most} rows)"
        config.without_meaning("max_samples", why=why)


def _descriptions(config: Config) -> tuple[JsonObject, str]:
    """Return dataset_info.json, and the directory in which it is, as the config gives it."""
    given = config.text("dataset_dir") or "data"
    for place in (Path.cwd(), *config.path.absolute().parents):
        file = place / given / "dataset_info.json"
        if file.is_file():
            try:
                return read_json_object(file), given
            except ValueError as error:
                raise MftError(f"{file}: not valid JSON: {error}") from None
    config.missing.append(
        f"tasks: {given}/dataset_info.json was not found, so the files of the data sets are guessed"
    )
    return {}, given


def _data(config: Config, name: str, entry: object, directory: str, where: str) -> JsonObject:
    """Return the keys of a task that a description of a data set becomes."""
    if not isinstance(entry, dict):
        return {"train": [source(config, where, f"{directory}/{name}.json")]}
    used = {"hf_hub_url", "file_name", "formatting", "columns", "tags", "subset", "split", "ranking"}
    place = f"dataset_info[{name}]"
    if entry.get("ranking"):
        config.missing.append(f"{where}: {name} has preferences, which are not trained")
    for key in entry.keys() - used:
        config.without_meaning(f"{place}.{key}", why=_UNUSED.get(key, "unknown to this importer"))
    hub = entry.get("hf_hub_url")
    if hub:
        train = source(config, where, str(hub), split=entry.get("split"), name=entry.get("subset"))
    else:
        train = source(config, where, f"{directory}/{entry.get('file_name', name + '.json')}")
    columns = _columns(config, entry, place)
    text = config.text("stage") == "pt"
    if text:
        column = (entry.get("columns") or {}).get("prompt", "text")
        columns = {} if column == "text" else {column: "text"}
    return {
        "train": train if isinstance(train, dict) else [train],
        **({"format": "text"} if text else {}),
        **({"columns": columns} if columns else {}),
    }


def _columns(config: Config, entry: JsonObject, place: str) -> dict[str, str]:
    """Return ``tasks[].columns``: those whose names differ from the keys by which rows are read."""
    given: JsonObject = entry.get("columns") or {}
    tags: JsonObject = entry.get("tags") or {}
    if entry.get("formatting", "alpaca") != "sharegpt":
        return {column: _ALPACA[key] for key, column in given.items() if _ALPACA.get(key, column) != column}
    turns = (tags.get("role_tag", "from"), tags.get("content_tag", "value"))
    key = "messages" if turns == ("role", "content") else "conversations"
    if turns not in (("role", "content"), ("from", "value")):
        config.missing.append(f"{place}.tags: turns have the keys {turns}; rewrite them as role and content")
    for tag, known in _ROLES.items():
        if tag in tags and tags[tag] not in known:
            config.missing.append(
                f"{place}.tags.{tag}: the role {tags[tag]!r} is not known; rename it to {known[-1]!r}"
            )
    columns = {
        column: _CONVERSATION[name]
        for name, column in given.items()
        if _CONVERSATION.get(name, column) != column
    }
    conversation = str(given.get("messages", "conversations"))
    return columns | ({conversation: key} if conversation != key else {})


def _fraction(config: Config) -> float:
    size = config.number("val_size") or 0
    if size >= 1:
        config.approximated(
            "val_size", to="tasks[].valid", why=f"{size:g} rows; a share is expected here, so it is 0.05"
        )
        return 0.05
    return size


def _rows(config: Config) -> None:
    packing, neat = config.flag("packing"), config.flag("neat_packing")
    pretraining = config.text("stage") == "pt" and config.value("packing") is None
    if packing or neat or pretraining:
        attention = {"attention": "shared"} if not neat else {"attention": "isolated"}
        config.put("tokenization", {"name": component("packed"), "options": attention})
    else:
        config.put("tokenization", component("padded to the longest"))
    config.translated("packing", "neat_packing", to="tokenization")
    config.put("max_length", config.count("cutoff_len") or 2048)
    config.translated("cutoff_len", to="max_length")
    config.put(
        "loss",
        component("mean over all tokens"),
        f"plain cross-entropy, as in {NAME}; docs/losses.md has others",
    )
    if template := config.text("template"):
        config.put("chat.format", "auto")
        why = f"the model's own chat template is used instead of {template!r}"
        config.approximated("template", "default_system", to="chat.format", why=why)
    if config.flag("mask_history"):
        for task in config.spec.content["tasks"]:
            task.setdefault("format", {"name": "chat", "options": {"train": "last"}})
    config.translated("mask_history", to="tasks[].format")
    if config.flag("train_on_prompt"):
        why = "only the answers of a chat are in the loss"
        config.approximated("train_on_prompt", to="tasks[].format", why=why)
    config.translated("train_on_prompt", to="the answers are in the loss")


def _names(value: object) -> list[str]:
    if value is None:
        return []
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]
