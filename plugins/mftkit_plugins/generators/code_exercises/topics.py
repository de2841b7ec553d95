"""Files of topics: the language, and its topics by group."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = '{"language": "Rust", "topics": {"ownership": ["borrowing a slice", ...], ...}}'


@dataclass(frozen=True)
class Topics:
    """What exercises are about."""

    language: str
    topics: tuple[str, ...]
    """Each as "group: topic"."""


def read_topics(path: Path | None) -> Topics:
    """The topics of a file, or those for Python that come with the package.

    Raises MftError for a file that is no file of topics.
    """
    if path is None:
        packaged = resources.files("mftkit_plugins.generators.code_exercises") / "python.json"
        return _topics(json.loads(packaged.read_text(encoding="utf-8")), "python.json")
    try:
        return _topics(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise mftkit.MftError(f"topics: {path} cannot be read as JSON: {error}") from error


def _topics(given: Any, where: str) -> Topics:
    def wrong(what: str) -> mftkit.MftError:
        return mftkit.MftError(f"topics: {where}: {what}; a file of topics looks like this: {SHAPE}")

    if not isinstance(given, dict) or not isinstance(given.get("topics"), dict):
        raise wrong("is no object with language and topics")
    language = given.get("language")
    if not isinstance(language, str) or not language.strip():
        raise wrong("language is missing")
    if unknown := sorted(given.keys() - {"language", "topics"}):
        raise wrong(f"unknown keys {', '.join(unknown)}")
    found = []
    for group, topics in given["topics"].items():
        if not isinstance(topics, list) or not all(isinstance(t, str) and t.strip() for t in topics):
            raise wrong(f"topics.{group} is no list of texts")
        found += [f"{group}: {topic.strip()}" for topic in topics]
    if not found:
        raise wrong("has no topic")
    repeated = sorted({topic for topic in found if found.count(topic) > 1})
    if repeated:
        raise wrong(f"named twice: {', '.join(repeated[:5])}")
    return Topics(language.strip(), tuple(found))
