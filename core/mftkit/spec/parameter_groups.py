"""The part of a spec about parameters with their own learning rate or weight decay."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from mftkit.spec.problems import refuse_one
from mftkit.spec.section import Section


class ParameterGroupSpec(Section):
    """Parameters with their own learning rate or weight decay."""

    pattern: str | Annotated[list[str], Field(min_length=1)]
    """A list: names of parameters or modules, of which leading parts may be left out; of a module all parameters, those
    of its modules included. A string: a regular expression for the whole name of a parameter."""
    learning_rate_scale: float = Field(default=1.0, gt=0)
    """Factor of the run's learning rate, at each step."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay of all these parameters, vectors too; null: ``training.weight_decay``, which vectors do not get."""

    @field_validator("pattern")
    @classmethod
    def _can_match(cls, pattern: str | list[str]) -> str | list[str]:
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except re.error as error:
                refuse_one(f"is not a valid regular expression: {error}", pattern)
        return pattern

    def unmatched(self, names: list[str]) -> list[str]:
        """Which of the patterns match none of the names."""
        patterns = [self.pattern] if isinstance(self.pattern, str) else self.pattern
        return [each for each in patterns if not any(self._fits(each, name) for name in names)]

    def matches(self, name: str) -> bool:
        """Whether a parameter's name matches.

        >>> group = ParameterGroupSpec(pattern=["layers.1", "embed_tokens"])
        >>> group.matches("model.layers.1.mlp.up_proj.weight"), group.matches("model.layers.11.norm.weight")
        (True, False)
        """
        patterns = [self.pattern] if isinstance(self.pattern, str) else self.pattern
        return any(self._fits(each, name) for each in patterns)

    def _fits(self, pattern: str, name: str) -> bool:
        if isinstance(self.pattern, str):
            return re.fullmatch(pattern, name) is not None
        return f".{pattern}." in f".{name}."
