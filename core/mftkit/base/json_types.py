"""Names for JSON whose shape is somebody else's: a model's config, a tokenizer's files, a spec before validation."""

from __future__ import annotations

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object. What has a shape of its own here is a dataclass or a TypedDict in place of this."""
