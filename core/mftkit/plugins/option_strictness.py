"""Strict reading of options in a spec: a number in quotes is not a number, and 1 is not true."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, Strict, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from mftkit.base.json_types import JsonObject

_STRICT = frozenset({"int_type", "float_type", "bool_type", "int_from_float"})
"""Errors of a value that a lax reading converts."""
_INFINITE = frozenset({"Infinity", "-Infinity", "NaN"})
"""Numbers that JSON does not have: options are written with these texts in their place."""


def loosely_typed(model: type[BaseModel], given: JsonObject, context: object) -> ValidationError | None:
    """Return the errors of values of the wrong JSON type in options that are valid otherwise.

    These are texts and true or false in place of numbers, numbers and texts in place of true or false, and fractions
    in place of whole numbers: what ``mftkit.spec.section.Section`` refuses in the spec itself. JSON has no tuples,
    paths and enumerations, so lists and texts are accepted for them. A model, or an option, that declares
    ``strict=False`` converts as before.
    """
    if model.model_config.get("strict") is False:
        return None
    try:
        text = json.dumps(to_jsonable_python(given))
        model.model_validate_json(text, strict=True, context=context)
    except ValidationError as error:
        wrong = [details for details in error.errors(include_url=False) if _is_wrong(details, model)]
        return ValidationError.from_exception_data(error.title, wrong) if wrong else None  # type: ignore[arg-type]
    except (PydanticSerializationError, TypeError, ValueError):  # a spec in Python may hold any object
        return None
    return None


def _is_wrong(details: ErrorDetails, model: type[BaseModel]) -> bool:
    if details["type"] not in _STRICT or details["input"] in _INFINITE:
        return False
    field = model.model_fields.get(str(details["loc"][0])) if details["loc"] else None
    marks = field.metadata if field is not None else []
    return not any(isinstance(mark, Strict) and not mark.strict for mark in marks)
