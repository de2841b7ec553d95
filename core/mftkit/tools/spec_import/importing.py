"""From a config file of another toolkit to a spec, with an account of every key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from mftkit.base.json_files import read_limited_text
from mftkit.base.reasons import reason
from mftkit.spec import Spec, load_spec
from mftkit.spec.names import name_for_files
from mftkit.spec.yaml_text import MOST_VALUES
from mftkit.tools.spec_import import axolotl, llamafactory, mftcoder, trl
from mftkit.tools.spec_import.config import Config
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.spec.commented import CommentedSpec

TOOLKITS = {"mftcoder": mftcoder, "llamafactory": llamafactory, "axolotl": axolotl, "trl": trl}
DEEPEST = 200
"""Levels of nesting; the parser takes seconds for thousands."""


@dataclass(frozen=True)
class ImportedSpec:
    """The spec of a config, and what became of the config's keys."""

    spec: CommentedSpec
    translated: dict[str, str]
    """Key of the config to the key of the spec, with the same meaning."""
    approximated: dict[str, str]
    """The same, with another meaning, and why."""
    without_meaning: dict[str, str]
    """Key of the config to the reason why it is nowhere in the spec."""
    missing: list[str]
    """What has to be filled in."""


def import_config(toolkit: str, path: Path, target: Path, devices: int = 1) -> ImportedSpec:
    """Translate a config file; nothing is written.

    Args:
        toolkit: a key of ``TOOLKITS``.
        path: the config, YAML or JSON.
        target: the spec file to write; paths in the spec are relative to its directory.
        devices: number of devices that the config was made for: a factor of the batch.

    Raises:
        MftError: the toolkit is not known, the file cannot be read, or it is not supervised fine-tuning.
        SpecError: a value of the config is not allowed in a spec.
    """
    name = toolkit.lower().replace("-", "").replace("_", "")
    if name not in TOOLKITS:
        near = nearest(toolkit, TOOLKITS)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise MftError(f"unknown toolkit {toolkit!r} (known: {', '.join(TOOLKITS)}){hint}")
    module = TOOLKITS[name]
    config = Config(module.NAME, path, target, read(path), devices, module.DEFAULTS)
    config.spec.content["name"] = name_for_files(target.stem)
    module.translate(config)
    content = config.spec.content
    config.spec.content = {key: content[key] for key in Spec.model_fields if key in content}
    load_spec(_checked(config), directory=target.absolute().parent)
    kinds: dict[str, dict[str, str]] = {"translated": {}, "approximated": {}, "without meaning": {}}
    for key, outcome in config.outcomes.items():
        kinds[outcome.kind][key] = outcome.text
    imported = ImportedSpec(
        config.spec,
        kinds["translated"],
        kinds["approximated"],
        kinds["without meaning"],
        config.missing,
    )
    config.spec.header = header(imported, module.NAME, path)
    return imported


def _checked(config: Config) -> JsonObject:
    """Return the spec as it is checked: a model that is not here may be anywhere else."""
    content = config.spec.content
    if any(what.startswith("model.path:") for what in config.missing):
        return {**content, "model": {**content["model"], "path": "organization/model"}}
    return content


def read(path: Path) -> JsonObject:
    """Return the object in a YAML or JSON file. Raises MftError if there is none."""
    try:
        text = read_limited_text(path)
    except FileNotFoundError:
        raise MftError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MftError(f"{path}: cannot be read as a text: {error}") from None
    text = text.replace("\t", "  ")
    try:
        if _size(text) > MOST_VALUES:
            raise MftError(
                f"{path}: stands for more than {MOST_VALUES:,} values, because of its aliases; write them out"
            )
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise MftError(f"{path}{line}: not valid YAML or JSON: {problem}") from None
    except RecursionError:
        raise MftError(f"{path}: is nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise MftError(f"{path}: cannot be read: {reason(error)}") from None
    if not isinstance(value, dict):
        raise MftError(f"{path}: expected an object with keys, not {type(value).__name__}")
    return {str(key): child for key, child in value.items()}


def _size(text: str) -> int:
    """The number of values in a YAML text after its aliases are replaced, which are not replaced for that."""
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = [(None, 0)]
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, SequenceStartEvent | MappingStartEvent):
            open_.append((event.anchor, 1))
            if len(open_) > DEEPEST:
                raise RecursionError
            continue
        if isinstance(event, SequenceEndEvent | MappingEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, AliasEvent):
            anchor, size = None, sizes.get(event.anchor, 1)
        elif isinstance(event, ScalarEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor:
            sizes[anchor] = size
        outer, before = open_[-1]
        open_[-1] = (outer, before + size)
    return open_[0][1]


def header(imported: ImportedSpec, toolkit: str, path: Path) -> list[str]:
    """Return the comment at the top of the spec: what the reader has to know about the translation."""
    lines = [
        f"Translated from {path.name}, a config of {toolkit}, by mft spec import.",
        f"Keys that it does not set have the defaults of {toolkit}.",
    ]
    if imported.missing:
        lines += ["", "To be filled in:", *(f"  {what}" for what in imported.missing)]
    if imported.approximated:
        lines += ["", "Translated with another meaning:"]
        lines += [f"  {key} -> {what}" for key, what in imported.approximated.items()]
    if imported.without_meaning:
        lines += ["", "Without meaning here:"]
        lines += [f"  {key}: {why}" for key, why in imported.without_meaning.items()]
    return lines
