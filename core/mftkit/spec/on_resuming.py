"""What may change in a spec when its run is resumed: marks on the fields of the spec, and their rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

ON_RESUMING_KEY = "x-on-resuming"
"""Where the JSON Schema of a key says what its mark says."""

Rule = Literal["free", "data", "model", "end", "validation"]
MEANINGS: dict[Rule, str] = {
    "free": "may change",
    "data": "may change if the data stays the same",
    "model": "may change if the base model stays the same",
    "end": "may change, and moves the end of the run",
    "validation": 'may change unless early stopping has the criterion "each" or "rollback"',
}
"""What each rule means to a user.

"free": the key decides no number. "data", "model": a place, where only what lies there decides. "end": the key decides
where the run ends, and nothing before. "validation": the key decides when a validation is made, and so which steps may
be the best, but not how the weights change.
"""


@dataclass(frozen=True)
class OnResuming:
    """Marks a field of the spec that may differ from the one that a run was started with.

    A key without a mark decides the numbers of a run: with another value, it is another run.
    """

    rule: Rule

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the rule's meaning."""
        return {**handler(core), ON_RESUMING_KEY: MEANINGS[self.rule]}


def marked_keys(schema: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each marked key of an object's JSON Schema, and what its mark says."""
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for key, described in properties.items():
            if ON_RESUMING_KEY in described:
                yield key, str(described[ON_RESUMING_KEY])


assert set(MEANINGS) == set(get_args(Rule)), "every rule has a meaning"
