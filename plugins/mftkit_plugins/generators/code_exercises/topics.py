"""Files of topics: a language and its topics by group."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = '{"language": "Rust", "topics": {"ownership": ["borrowing a slice", ...], ...}}'


@dataclass(frozen=True)
class Topics:
    """Topics of exercises."""

    language: str
    topics: tuple[str, ...]
    """Each as "group: topic"."""


def read_topics(path: Path | None) -> Topics:
    """Read the topics of a file, or the included ones for Python.

    Raises MftError if the file does not have this format.
    """
    if path is None:
        packaged = resources.files("mftkit_plugins.generators.code_exercises") / "python.json"
        return _topics(json.loads(packaged.read_text(encoding="utf-8")), "python.json")
    try:
        return _topics(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise mftkit.MftError(f"topics: {path} cannot be read as JSON: {error}") from error


def _topics(given: object, where: str) -> Topics:
    def error(what: str) -> mftkit.MftError:
        return mftkit.MftError(f"topics: {where}: {what}; a file of topics looks like this: {SHAPE}")

    if not isinstance(given, dict) or not isinstance(given.get("topics"), dict):
        raise error("expected an object with language and topics")
    language = given.get("language")
    if not isinstance(language, str) or not language.strip():
        raise error("language is missing")
    if unknown := sorted(given.keys() - {"language", "topics"}):
        raise error(f"unknown keys {', '.join(unknown)}")
    found = []
    for group, topics in given["topics"].items():
        if not isinstance(topics, list) or not all(isinstance(t, str) and t.strip() for t in topics):
            raise error(f"topics.{group} must be a list of strings")
        found += [f"{group}: {topic.strip()}" for topic in topics]
    if not found:
        raise error("it contains no topics")
    repeated = sorted({topic for topic in found if found.count(topic) > 1})
    if repeated:
        raise error(f"topics given twice: {', '.join(repeated[:5])}")
    return Topics(language.strip(), tuple(found))
