"""Places in a spec that name a component; its options are validated by its own model."""

import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
)

from mftkit.base.json_types import JsonObject
from mftkit.interfaces.references import AUTO, ChatRef, ComponentRef
from mftkit.plugins import installed, kinds
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


def component_class(ref: ComponentRef, kind: Kind) -> Any:
    """Return the class that a reference names."""
    return installed.component_class(installed.registry().get(kind, ref.name))


def _nested(value: object, _plain: object, info: ValidationInfo, kind: Kind) -> ComponentRef:
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


def _flat(value: object, _plain: object, info: ValidationInfo, kind: Kind) -> TuningRef:
    """Read ``"name"`` or ``{"method": name, **options}``."""
    if isinstance(value, TuningRef):
        value = value.flat()
    if isinstance(value, str):
        value = {"method": value}
    if not isinstance(value, dict):
        refuse_one('should be a method or {"method": ...} with its options', value)
    name, model = _resolve(kind, value, "method")
    options, problems = _checked(model, {key: value[key] for key in value if key != "method"}, info)
    if problems or options is None:
        refuse(problems)
    return TuningRef(name=name, options=options)


def _resolve(kind: Kind, value: JsonObject, key: str) -> tuple[str, type[BaseModel]]:
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
            hint = registry.unknown(kind).way_out()
            refuse_one(what, name, at=(key,), hint=hint, shows_given=key in value)
        options: type[BaseModel] = installed.component_class(registry.get(kind, name)).Options
        return name, options
    except UnknownComponentError as error:
        refuse_one(f"unknown {kind.name}", name, at=(key,), hint=error.way_out())
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
    return plain(options), []


def plain(options: BaseModel) -> JsonObject:
    """Return options as JSON, which their own model can read again."""
    values: JsonObject = json.loads(options.model_dump_json(by_alias=True))
    return values


def _extra_key(key: str, given: object, model: type[BaseModel] | None) -> Problem:
    if model is not None and key in model.model_fields:
        return Problem((key,), "unknown key", given, hint=f'; did you mean "options.{key}"?')
    return Problem((key,), "unknown key", given, hint=one_of(("name", "options"), key))


def _auto(value: object, plain: object, info: ValidationInfo, kind: Kind) -> ComponentRef:
    """Read as ``_nested`` does, or "auto", which is resolved later."""
    given = value.model_dump() if isinstance(value, ComponentRef) else value
    if given in (AUTO, {"name": AUTO}, {"name": AUTO, "options": {}}):
        return ComponentRef(name=AUTO)
    if isinstance(given, dict) and given.get("name") == AUTO and "options" in given:
        refuse_one(f'"{AUTO}" takes no options: name the {kind.name}', given["options"], at=("options",))
    return _nested(given, plain, info, kind)


def _chat_model(value: object, plain: object, info: ValidationInfo, kind: Kind) -> ChatRef:
    """Read as ``_nested`` does, in a component's own options."""
    return ChatRef(**_nested(value, plain, info, kind).model_dump())


def _place(kind: Kind, read: Callable[..., ComponentRef]) -> Any:
    return WrapValidator(partial(read, kind=kind)), WithJsonSchema({KIND_KEY: kind.name})


LossRef = Annotated[ComponentRef, *_place(kinds.LOSS, _nested)]
BalancerRef = Annotated[ComponentRef, *_place(kinds.BALANCER, _nested)]
TokenizationRef = Annotated[ComponentRef, *_place(kinds.TOKENIZATION_MODE, _nested)]
GeneratorRef = Annotated[ComponentRef, *_place(kinds.DATA_GENERATOR, _nested)]
TrackerRef = Annotated[ComponentRef, *_place(kinds.TRACKER, _nested)]
FilterRef = Annotated[ComponentRef, *_place(kinds.DATA_FILTER, _nested)]
ExecutorRef = Annotated[ComponentRef, *_place(kinds.EXECUTOR, _auto)]
ChatModelRef = Annotated[ChatRef, *_place(kinds.CHAT_MODEL, _chat_model)]
AdapterRef = Annotated[ComponentRef, *_place(kinds.MODEL_ADAPTER, _auto)]
GradientsRef = Annotated[ComponentRef, *_place(kinds.GRADIENT_COMBINER, _nested)]
TuningPlace = Annotated[TuningRef, *_place(kinds.TUNING, _flat)]
