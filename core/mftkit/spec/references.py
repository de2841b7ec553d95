"""Places in a spec that name a component; its options are validated by its own model."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import with_info_wrap_validator_function

from mftkit.base.json_types import JsonObject
from mftkit.interfaces import AUTO
from mftkit.interfaces.component import Component
from mftkit.interfaces.references import ChatRef, ComponentRef
from mftkit.plugins import installed, kinds
from mftkit.plugins.option_strictness import loosely_typed
from mftkit.spec.positions import Location
from mftkit.spec.problems import Problem, one_of, problems_of, refuse, refuse_one
from mftkit_registry import Kind, MftError, UnknownComponentError

KIND_KEY = "x-mft-kind"
"""Marks a component's place in the JSON Schema."""


class TuningRef(ComponentRef):
    """A tuning: in a spec ``{"method": name, **options}`` or only the name."""

    @property
    def method(self) -> str:
        """Name of the tuning."""
        return self.name

    def flat(self) -> JsonObject:
        """Return it as written in a spec."""
        return {"method": self.name, **self.options}


def unnamed() -> Any:
    """Return the value for a component that a spec does not name; it becomes the default of its kind."""
    return {}


def _nested(value: object, _plain: object, info: ValidationInfo, kind: Kind[Component]) -> ComponentRef:
    """Read ``"name"`` or ``{"name": ..., "options": {...}}``."""
    if isinstance(value, ComponentRef):
        value = value.model_dump()
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        refuse_one('should be a name or {"name": ..., "options": {...}}', value)
    problems = []
    name = options = None
    try:
        name, model = _resolve(kind, value, "name")
    except ValidationError as error:
        problems += problems_of(error, value, ComponentRef)
        model = None
    problems += [_extra_key(key, value[key], model) for key in value if key not in ("name", "options")]
    if model is not None:
        options, wrong = _checked(model, value.get("options", {}), info)
        problems += [Problem(("options", *p.location), p.what, p.given, p.shows_given, p.hint) for p in wrong]
    if problems or name is None or options is None:
        refuse(problems)
    return ComponentRef(name=name, options=options)


def _flat(value: object, _plain: object, info: ValidationInfo, kind: Kind[Component]) -> TuningRef:
    """Read ``"name"`` or ``{"method": name, **options}``."""
    if isinstance(value, TuningRef):
        value = value.flat()
    if isinstance(value, str):
        value = {"method": value}
    if not isinstance(value, dict):
        refuse_one('should be a method or {"method": ...} with its options', value)
    if "method" not in value and value.keys() <= {"name", "options"} and "name" in value:
        refuse_one('is written {"method": NAME}, with the options beside "method"', value)
    name, model = _resolve(kind, value, "method")
    options, problems = _checked(model, {key: value[key] for key in value if key != "method"}, info)
    if problems or options is None:
        refuse(problems)
    return TuningRef(name=name, options=options)


def _resolve(kind: Kind[Component], value: JsonObject, key: str) -> tuple[str, type[BaseModel]]:
    """Return the component's name and the model of its options; without a name, the kind's default."""
    name = value.get(key)
    registry = installed.registry()
    try:
        if key not in value:
            name = registry.default(kind)
        if not isinstance(name, str):
            what = f"should be the name of a {kind.name}"
            if key not in value:
                what = f"is missing, and there is no default {kind.name}"
            hint = registry.unknown(kind).hint()
            refuse_one(what, name, at=(key,), hint=hint, shows_given=key in value)
        return name, installed.component_class(kind, name).Options
    except UnknownComponentError as error:
        refuse_one(f"unknown {kind.name}", name, at=(key,), hint=error.hint())
    except MftError as error:
        refuse_one(str(error), name, at=(key,), shows_given=key in value)


def _checked(
    model: type[BaseModel], given: object, info: ValidationInfo
) -> tuple[JsonObject | None, list[Problem]]:
    """Return the options with all defaults as JSON, or the problems in them."""
    if not isinstance(given, dict):
        return None, [Problem((), "should be an object", given)]
    try:
        options = model.model_validate(given, context=info.context)
    except ValidationError as error:
        return None, problems_of(error, given, model)
    if (wrong := loosely_typed(model, given, info.context)) is not None:
        return None, problems_of(wrong, given, model)
    return plain(options), []


def plain(options: BaseModel) -> JsonObject:
    """Return options as JSON, which their own model can read again."""
    values: JsonObject = json.loads(options.model_dump_json(by_alias=True))
    return values


def without_defaults(kind: Kind[Component], ref: ComponentRef) -> JsonObject | str:
    """Return a component as a spec has it: its name alone if all options have their defaults."""
    try:
        defaults = plain(installed.component_class(kind, ref.name).Options())
    except (ValidationError, MftError):  # an option is required, or the component is not installed here
        return ref.model_dump()
    return ref.name if ref.options == defaults else ref.model_dump()


def _extra_key(key: str, given: object, model: type[BaseModel] | None) -> Problem:
    if model is not None and key in model.model_fields:
        return Problem((key,), "unknown key", given, hint=f'; did you mean "options.{key}"?')
    return Problem((key,), "unknown key", given, hint=one_of(("name", "options"), key))


def _auto(value: object, plain: object, info: ValidationInfo, kind: Kind[Component]) -> ComponentRef:
    """Read as ``_nested`` does, or "auto", which is resolved later."""
    given = value.model_dump() if isinstance(value, ComponentRef) else value
    if given in (AUTO, {"name": AUTO}, {"name": AUTO, "options": {}}):
        return ComponentRef(name=AUTO)
    if isinstance(given, dict) and given.get("name") == AUTO and "options" in given:
        refuse_one(f'"{AUTO}" takes no options: name the {kind.name}', given["options"], at=("options",))
    return _nested(given, plain, info, kind)


def _chat_model(value: object, plain: object, info: ValidationInfo, kind: Kind[Component]) -> ChatRef:
    """Read as ``_nested`` does, in a component's own options."""
    return ChatRef(**_nested(value, plain, info, kind).model_dump())


@dataclass(frozen=True)
class Place:
    """Annotates a field that names a component of ``kind``: ``loss: Annotated[ComponentRef, Place(kinds.LOSS)]``.

    How it is written in a spec follows from the type of the reference, and from the kind if it knows "auto".
    """

    kind: Kind[Component]

    def __get_pydantic_core_schema__(
        self, ref: type[ComponentRef], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Read the field as a spec has it."""
        read: Callable[..., ComponentRef] = _auto if AUTO in self.kind.reserved else _nested
        if issubclass(ref, TuningRef):
            read = _flat
        elif issubclass(ref, ChatRef):
            read = _chat_model
        return with_info_wrap_validator_function(partial(read, kind=self.kind), handler(ref))

    def __get_pydantic_json_schema__(
        self, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A mark, in whose place the schema of a spec has the installed components."""
        return {KIND_KEY: self.kind.name}


ExecutorRef = Annotated[ComponentRef, Place(kinds.EXECUTOR)]
"""The type of an option that names an executor."""
ChatModelRef = Annotated[ChatRef, Place(kinds.CHAT_MODEL)]
"""The type of an option that names a chat model."""


def named_components(spec: BaseModel) -> Iterator[tuple[Kind[Component], ComponentRef]]:
    """Each component that a spec names in its own keys, by the places of the kinds."""
    for kind in kinds.KINDS:
        if not kind.is_option:
            for place in kind.places:
                refs = _at([spec], place.split("."))
                yield from ((kind, ref) for ref in refs if isinstance(ref, ComponentRef))


def located_components(spec: BaseModel) -> Iterator[tuple[Location, Kind[Component], ComponentRef]]:
    """As ``named_components``, each with its place in the spec: keys and indices."""
    for kind in kinds.KINDS:
        if not kind.is_option:
            for place in kind.places:
                located = _located((), spec, place.split("."))
                yield from ((at, kind, ref) for at, ref in located if isinstance(ref, ComponentRef))


def _located(at: Location, value: object, keys: Sequence[str]) -> Iterator[tuple[Location, object]]:
    if not keys:
        yield at, value
        return
    key = keys[0].removesuffix("[]")
    inner, at = getattr(value, key, None), (*at, key)
    if keys[0].endswith("[]"):
        for index, item in enumerate(inner if isinstance(inner, list) else []):
            yield from _located((*at, index), item, keys[1:])
    else:
        yield from _located(at, inner, keys[1:])


def _at(values: Iterable[object], keys: Sequence[str]) -> Iterable[object]:
    """What stands below ``values`` at a path of keys, where "[]" after one opens a list."""
    for key in keys:
        values = [getattr(value, key.removesuffix("[]"), None) for value in values]
        if key.endswith("[]"):
            values = [item for value in values if isinstance(value, list) for item in value]
    return values
