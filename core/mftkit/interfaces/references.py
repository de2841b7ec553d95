"""A component that a spec, or an option of another component, names."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ComponentRef(BaseModel):
    """A component and its options, in a spec ``{"name": ..., "options": {...}}`` or the bare name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    name: str
    """Name of the component."""
    options: dict[str, Any] = Field(default_factory=dict)
    """All its options, defaults included, as JSON has them and with absolute paths."""


class ChatRef(ComponentRef):
    """A chat model; also the type of an option of a generator or a filter that asks one."""
