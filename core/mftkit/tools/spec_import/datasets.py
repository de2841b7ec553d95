"""Where a task's rows lie: a local path, or a data set on the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.data.rows.files import ENDINGS
from mftkit.spec.names import LONGEST_NAME
from mftkit.spec.row_sources import BUILDERS

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_import.config import Config

PLACEHOLDER = "organization/model"
"""Written where a config names no model."""


def local_path(config: Config, path: str, where: str) -> str:
    """Return a path as the spec names it: relative to the spec file; a missing file is noted.

    Relative paths of a config are relative to the directory in which the toolkit was started, which is taken to be the
    current one; if there is nothing, the config's own directory and those above it are tried.
    """
    if "$" in path:
        config.missing.append(f"{where}: {path} is a placeholder; write the path")
        return path
    given = Path(path).expanduser()
    if given.is_absolute():
        found = given
    else:
        places = [Path.cwd(), *config.path.absolute().parents]
        found = next((place / given for place in places if (place / given).exists()), Path.cwd() / given)
    if not found.exists() and not any(sign in path for sign in "*?["):
        config.missing.append(f"{where}: {path} does not exist here; copy the data or change the path")
    return str(found) if given.is_absolute() else os.path.relpath(found, config.target.absolute().parent)


def is_local(path: str) -> bool:
    """Return whether a data set's path is a file or directory rather than an id of the hub."""
    return (
        Path(path).expanduser().exists()
        or path.startswith((".", "/", "~", "$"))
        or path.lower().endswith(ENDINGS)
        or path.count("/") > 1
    )


def source(config: Config, where: str, path: str, **more: object) -> str | JsonObject:
    """Return what ``tasks[].train`` is for a data set: a path, or an object that names a data set.

    ``more``: split, name, revision and data_files; those that are None are left out.
    """
    rest = {key: value for key, value in more.items() if value}
    if path in BUILDERS and "data_files" in rest:
        files = rest.pop("data_files")
        names = files if isinstance(files, list) else [files]
        if len(names) == 1 and str(names[0]).lower().endswith(ENDINGS):
            return local_path(config, str(names[0]), where)
        return {
            "dataset": path,
            "data_files": [local_path(config, str(name), where) for name in names],
            **rest,
        }
    if is_local(path) and not rest.keys() - {"split"}:
        return local_path(config, path, where)
    dataset = local_path(config, path, where) if is_local(path) else path
    return {"dataset": dataset, **rest}


def task_name(path: str, taken: list[str]) -> str:
    """Return a name for the task of a data set, which no other task has."""
    name = path.rstrip("/").rpartition("/")[2]
    ending = max((known for known in ENDINGS if name.lower().endswith(known)), key=len, default="")
    name = (
        re.sub(r"[\x00-\x1f\x7f\\]", "-", name[: len(name) - len(ending)]).strip(" .$")[:LONGEST_NAME]
        or "task"
    )
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def translate_model(config: Config, key: str) -> None:
    """Translate the model's path or hub id."""
    path = config.text(key)
    if path is None:
        config.missing.append("model.path: the directory or hub id of the model")
        config.put("model.path", PLACEHOLDER)
    else:
        config.put("model.path", local_path(config, path, "model.path") if is_local(path) else path)
    config.translated(key, to="model.path")


def translate_revision(config: Config, *keys: str) -> None:
    """Translate the revision of the model, which only an id of the hub has; the first key that is set counts."""
    set_keys = [key for key in keys if config.text(key)]
    path = config.spec.content.get("model", {}).get("path", "")
    if set_keys and config.text(set_keys[0]) and _is_hub_id(config, path):
        config.put("model.revision", config.text(set_keys[0]))
        config.translated(set_keys[0], to="model.revision")
    config.without_meaning(*set_keys, why="only a model on the hub has revisions")


def translate_start(config: Config, adapters: list[str], key: str, *, new_adapter: bool = False) -> None:
    """Translate adapters that the training starts from: the last one becomes ``model.start_from``.

    Args:
        config: the config; its tuning is translated already.
        adapters: directories or ids of the hub.
        key: the key that names them.
        new_adapter: the adapter is merged into the model, and a new one is trained.
    """
    if not adapters:
        return
    last = adapters[-1]
    config.put("model.start_from", local_path(config, last, "model.start_from") if is_local(last) else last)
    tuning = config.spec.content.get("tuning")
    if isinstance(tuning, dict):  # a run that makes no adapter merges the one that is there
        config.put("model.start_adapter", "merge" if new_adapter else "continue")
    if len(adapters) > 1:
        earlier = ", ".join(adapters[:-1])
        config.missing.append(f"model.path: merge {earlier} into the model first, and name the result")
        config.approximated(key, to="model.start_from", why=f"only the last adapter; merge {earlier} first")
    else:
        config.translated(key, to="model.start_from")


def _is_hub_id(config: Config, path: str) -> bool:
    at = config.target.absolute().parent / path
    return not is_local(path) and not at.exists() and path != PLACEHOLDER


def output_path(config: Config, path: str) -> str:
    """Return the path of something that is written, as the spec names it; it need not exist."""
    given = Path(path).expanduser()
    return str(given) if given.is_absolute() else os.path.relpath(given, config.target.absolute().parent)
