"""Where rows come from, as a spec writes it: paths, data sets, and generated or held-out validation rows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

from pydantic import Field, PlainValidator, ValidationError, ValidationInfo, WithJsonSchema, WrapValidator

from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.paths import absolute
from mftkit.spec.problems import Problem, problems_of, refuse, refuse_one, shown
from mftkit.spec.references import Place
from mftkit.spec.section import Section

DataFiles = str | list[str] | dict[str, str | list[str]] | None
BUILDERS = ("arrow", "csv", "json", "parquet", "text", "webdataset", "xml")
"""Kinds of file that the datasets library reads under these names; their ``data_files`` are paths."""


def _dataset(value: object, info: ValidationInfo) -> str:
    """Return the id of a data set unchanged, and a directory as an absolute path."""
    if not _is_text(value):
        refuse_one("should be the id of a data set or a directory", value)
    text = str(value)
    if text in BUILDERS or "://" in text:
        return text
    path = absolute(text, info)
    looks_local = text.startswith((".", "/", "~")) or text.count("/") > 1
    return path if looks_local or Path(path).is_dir() else text


def _data_files(value: object, info: ValidationInfo) -> DataFiles:
    """Check ``data_files``; those of a kind of file are paths, others are parts of the data set."""
    if value is None:
        return None
    if isinstance(value, dict):
        problems = [
            Problem((str(split),), "should be a path or a list of paths", files)
            for split, files in value.items()
            if not _are_paths(files)
        ]
        if problems:
            refuse(problems)
    elif not _are_paths(value):
        refuse_one("should be a path, a list of paths, or an object from splits to paths", value)
    if not value:
        refuse_one("names no file", value)
    if info.data.get("dataset") not in BUILDERS:
        return cast("DataFiles", value)
    if isinstance(value, dict):
        return {str(split): _absolute_files(files, info) for split, files in value.items()}
    return _absolute_files(value, info)


def _are_paths(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list) and bool(value) and all(map(_is_text, value)))


def _absolute_files(value: object, info: ValidationInfo) -> str | list[str]:
    if isinstance(value, list):
        return [str(_absolute_files(each, info)) for each in value]
    return str(value) if "://" in str(value) else absolute(value, info)


_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_FILES_SCHEMA = {
    "anyOf": [
        *_TEXTS["anyOf"],
        {"type": "object", "additionalProperties": _TEXTS, "minProperties": 1},
        {"type": "null"},
    ]
}


class HubDataset(Section):
    """A data set on the hub, or in a directory."""

    dataset: Annotated[str, PlainValidator(_dataset), WithJsonSchema({"type": "string", "minLength": 1})]
    """Id of the data set, "organization/name"; a directory that the datasets library can load or has saved; or a kind
    of file that it reads, such as "json", with ``data_files``.
    """
    split: str = Field(default="train", min_length=1)
    """Split of the data set, or a part of one, such as "train[:10%]"."""
    name: str | None = Field(default=None, min_length=1)
    """Name of the data set's configuration; null: its default."""
    revision: str | None = Field(default=None, min_length=1)
    """Branch, tag or commit of the data set on the hub; null: the newest."""
    data_files: Annotated[DataFiles, PlainValidator(_data_files), WithJsonSchema(_FILES_SCHEMA)] = None
    """Files of the data set to read: a path or pattern, a list, or an object from splits to these; null: all."""


class GeneratedValidation(Section):
    """Validation rows that a generator makes."""

    generator: Annotated[ComponentRef, Place(kinds.DATA_GENERATOR)]
    """The generator that makes the validation rows, with a seed derived from that of the training rows."""


def _sources(value: Sequence[object], info: ValidationInfo) -> list[str | HubDataset]:
    """Read a list of paths and data sets. All problems are reported at once."""
    found: list[str | HubDataset] = []
    problems: list[Problem] = []
    for index, entry in enumerate(value):
        if isinstance(entry, HubDataset):
            found.append(entry)
        elif isinstance(entry, dict) and "generator" in entry:
            what = "cannot be one of several sources: a generator is named alone"
            problems.append(Problem((index, "generator"), what, entry["generator"]))
        elif isinstance(entry, dict):
            try:
                found.append(HubDataset.model_validate(entry, context=info.context))
            except ValidationError as error:
                problems += [
                    replace(problem, location=(index, *problem.location))
                    for problem in problems_of(error, entry, HubDataset)
                ]
        elif _is_text(entry):
            found.append(absolute(entry, info))
        else:
            problems.append(Problem((index,), "should be a path or glob", entry))
    if problems:
        refuse(problems)
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _train(value: object, _plain: object, info: ValidationInfo) -> list[str | HubDataset] | HubDataset | None:
    if value is None or isinstance(value, HubDataset):
        return value
    if isinstance(value, dict):
        return HubDataset.model_validate(value, context=info.context)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        refuse_one('should be a list of paths or globs, or {"dataset": ..., "split": ...}', value)
    if not value:
        refuse_one("names no file", value)
    return _sources(list(value), info)


_VALID_IS = 'should be a list of paths, {"generator": ...}, or a fraction that is at least 0 and less than 1'


def _valid(
    value: object, _plain: object, info: ValidationInfo
) -> list[str | HubDataset] | HubDataset | GeneratedValidation | float:
    if isinstance(value, HubDataset | GeneratedValidation):
        return value
    if isinstance(value, dict) and "generator" in value:
        return GeneratedValidation.model_validate(value, context=info.context)
    if isinstance(value, dict):
        return HubDataset.model_validate(value, context=info.context)
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        if not value:
            refuse_one("names no file", value, hint="; for no validation set 0")
        return _sources(list(value), info)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        refuse_one(_VALID_IS, value)
    return float(value)


def _columns(value: object) -> dict[str, str]:
    """Check a map from columns to keys: each key may be given once."""
    if not isinstance(value, dict):
        refuse_one('should be an object from columns to keys, such as {"problem": "prompt"}', value)
    problems = []
    column_of: dict[str, str] = {}
    for column, key in value.items():
        if not _is_text(key) or not column:
            problems.append(Problem((column,), "should be the key that the column is read as", key))
        elif key in column_of:
            problems.append(
                Problem((column,), f"is already given to the column {shown(column_of[key])}", key)
            )
        else:
            column_of[key] = column
    if problems:
        refuse(problems)
    return dict(value)


_HUB = HubDataset.model_json_schema()
_SOURCES = [
    {"type": "string"},
    {"type": "array", "items": {"anyOf": [{"type": "string"}, _HUB]}, "minItems": 1},
    _HUB,
]
Train = Annotated[
    list[str | HubDataset] | HubDataset | None,
    WrapValidator(_train),
    WithJsonSchema({"anyOf": [*_SOURCES, {"type": "null"}]}),
]
_GENERATED = GeneratedValidation.model_json_schema()
_FRACTION = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
Valid = Annotated[
    list[str | HubDataset] | HubDataset | GeneratedValidation | float,
    WrapValidator(_valid),
    WithJsonSchema({"anyOf": [*_SOURCES, _GENERATED, _FRACTION]}),
]
Columns = Annotated[
    dict[str, str],
    PlainValidator(_columns),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}),
]
