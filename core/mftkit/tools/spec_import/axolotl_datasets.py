"""The data sets of Axolotl's configs: paths, prompt strategies and the names of fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.tools.spec_import.datasets import source, task_name

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_import.config import Config

_PLACE_KEYS = {"path", "split", "name", "revision", "data_files", "ds_type"}
_ALPACA = ("alpaca", "alpaca_chat", "gpteacher", "oasst", "summarizetldr", "explainchoice", "concisechoice")
"""Prompt strategies over instruction, input and output."""
_FIELDS = {
    "field_system": "system",
    "field_instruction": "instruction",
    "field_input": "input",
    "field_output": "output",
}
_REASONS = {
    "shards": "use a part of the data", "shards_idx": "use a part of the data", "preprocess_shards": "not needed",
    "trust_remote_code": "scripts that load data sets are not run",
    "chat_template": "one chat format for all tasks: chat.format", "chat_template_jinja": "put it into the tokenizer",
    "train_on_eos": "the token that ends an answer is always in the loss",
    "conversation": "one chat format for all tasks: chat.format",
    "drop_system_message": "remove the system turns from the rows", "roles": "write the roles as user and assistant",
    "message_field_training": 'rename the key of the turns to "train"',
    "message_field_training_detail": "parts of a turn cannot be chosen", "split_thinking": "reasoning has its own key",
    "template_thinking_key": "reasoning has its own key",
}  # fmt: skip


def translate_tasks(config: Config) -> None:
    """Translate ``datasets``, ``test_datasets`` and ``pretraining_dataset``."""
    tasks: list[JsonObject] = []
    for key in ("datasets", "pretraining_dataset"):
        given = config.value(key)
        entries = given if isinstance(given, list) else [given] if given else []
        for index, entry in enumerate(entries):
            described = entry if isinstance(entry, dict) else {"path": entry, "type": "completion"}
            if key == "pretraining_dataset":
                described = {"type": "completion", **described}
            tasks.append(_task(config, f"{key}[{index}]", described, tasks))
        config.translated(key, to="tasks")
    if not tasks:
        config.missing.append("tasks: the data sets")
        tasks.append({"name": "task", "train": ["DATA"]})
    _validation(config, tasks)
    config.spec.content["tasks"] = tasks


def _validation(config: Config, tasks: list[JsonObject]) -> None:
    tests = config.value("test_datasets")
    size = config.number("val_set_size") or 0
    if isinstance(tests, list) and tests:
        sources = [_source(config, f"test_datasets[{index}]", entry) for index, entry in enumerate(tests)]
        for index, task in enumerate(tasks):
            one_each = len(sources) == len(tasks)
            task["valid"] = [sources[index]] if one_each else sources if index == 0 else 0
        if len(sources) != len(tasks):
            why = "validation rows belong to a task; move them"
            config.approximated("test_datasets", to="tasks.0.valid", why=why)
        config.translated("test_datasets", to="tasks[].valid")
        config.translated("val_set_size", to="nothing: test_datasets are used")
        return
    for task in tasks:
        task["valid"] = 0.05 if size >= 1 else size
    if size >= 1:
        why = f"{size:g} rows; a share is expected here, so it is 0.05"
        config.approximated("val_set_size", to="tasks[].valid", why=why)
    config.translated("val_set_size", to="tasks[].valid")


def _source(config: Config, where: str, entry: object) -> object:
    described = entry if isinstance(entry, dict) else {"path": str(entry)}
    path, files = str(described.get("path", "DATA")), described.get("data_files")
    return source(
        config,
        where,
        path,
        split=described.get("split"),
        name=described.get("name"),
        revision=described.get("revision"),
        data_files=files,
    )


def _task(config: Config, where: str, entry: JsonObject, before: list[JsonObject]) -> JsonObject:
    path = str(entry.get("path", "DATA"))
    named = entry.get("data_files") if path in ("json", "csv", "parquet", "text") else None
    names = [str(task["name"]) for task in before]
    train = _source(config, where, entry)
    task: JsonObject = {
        "name": task_name(str(named[0] if isinstance(named, list) else named or path), names),
        "train": train if isinstance(train, dict) else [train],
    }
    used = _PLACE_KEYS | {"type"}
    columns: dict[str, str] = {}
    kind = entry.get("type")
    if isinstance(kind, dict):
        columns = {
            str(kind[key]): name for key, name in _FIELDS.items() if kind.get(key) and kind[key] != name
        }
        for key in kind.keys() - _FIELDS.keys():
            why = "the question is written as instruction, blank line, input; the chat template surrounds it"
            config.approximated(f"{where}.type.{key}", to="tasks[].columns", why=why)
    else:
        used |= _known_type(config, where, str(kind or ""), entry, task, columns)
    if columns:
        task["columns"] = columns
    for key in entry.keys() - used:
        if entry[key] is not None:
            config.without_meaning(f"{where}.{key}", why=_REASONS.get(key, "unknown to this importer"))
    return task


def _known_type(
    config: Config, where: str, kind: str, entry: JsonObject, task: JsonObject, columns: dict[str, str]
) -> set[str]:
    """Translate a prompt strategy into the task's format and columns; returns the keys that were used."""
    name = kind.partition(":")[0].partition(".")[0]
    if name in ("completion", "pretrain"):
        field = entry.get("field") or entry.get("text_column") or kind.partition(":")[2] or "text"
        task["format"] = "text"
        if field != "text":
            columns[str(field)] = "text"
        return {"field", "text_column"}
    if name in ("chat_template", "sharegpt"):
        return _conversation(config, where, name, entry, columns)
    if name in _ALPACA:
        why = f"the prompt of {kind!r} is not written; the question is in the model's own chat format"
        config.approximated(f"{where}.type", to="chat.format", why=why)
    else:
        why = "the keys of the rows decide how they are read; check them with mft data show"
        config.approximated(f"{where}.type", to="tasks[].columns", why=f"{kind or 'no type'}: {why}")
    return set()


def _conversation(
    config: Config, where: str, name: str, entry: JsonObject, columns: dict[str, str]
) -> set[str]:
    mappings = entry.get("message_property_mappings") or {}
    old = name == "sharegpt"
    role = mappings.get("role") or entry.get("message_field_role") or ("from" if old else "role")
    content = mappings.get("content") or entry.get("message_field_content") or ("value" if old else "content")
    key = "conversations" if (role, content) == ("from", "value") else "messages"
    if (role, content) not in (("role", "content"), ("from", "value")):
        config.missing.append(
            f"{where}: turns have the keys {role!r} and {content!r}; rewrite them as role and content"
        )
    column = str(entry.get("field_messages") or ("conversations" if old else "messages"))
    if column != key:
        columns[column] = key
    tools = entry.get("field_tools")
    if tools and tools != "tools":
        columns[str(tools)] = "tools"
    roles = entry.get("roles_to_train")
    if roles and not set(roles) <= {"assistant", "gpt", "model"}:
        why = "only the answers of the assistant are in the loss"
        config.approximated(f"{where}.roles_to_train", to="tasks[].format", why=why)
    return {
        "message_property_mappings", "message_field_role", "message_field_content", "field_messages", "field_tools",
        "roles_to_train", "field_thinking",
    }  # fmt: skip
