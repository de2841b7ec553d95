"""Names for JSON whose shape is not ours: a model's config, a tokenizer's files, a spec before validation."""

from __future__ import annotations

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object. JSON of our own shape is a dataclass or a TypedDict instead."""
