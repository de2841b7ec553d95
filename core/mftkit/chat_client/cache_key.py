"""The identity of options in the keys of caches: their values, and the files that they name.

Options that have no effect on a chat model's replies are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from mftkit.interfaces.references import ChatRef
from mftkit.plugins import installed, kinds
from mftkit.plugins.option_files import file_digests, files_of_component

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.base.json_types import JsonObject


def options_identity(options: BaseModel) -> object:
    """Return all that what is made with a component's options depends on, as JSON.

    These are the options; for chat models only those that affect replies. If some are paths of files or directories
    (``mftkit.SpecPath``), the digests of their contents belong to it, too.
    """
    values = _reduced(options, options.model_dump(mode="json"))
    files = file_digests(options)
    return {"options": values, "files": files} if files else values


def chat_key(ref: ChatRef) -> JsonObject:
    """Return what the replies of a chat model depend on."""
    ignored = installed.component_class(kinds.CHAT_MODEL, ref.name).options_without_effect_on_replies
    key: JsonObject = {
        "name": ref.name,
        "options": {k: v for k, v in ref.options.items() if k not in ignored},
    }
    files = files_of_component(kinds.CHAT_MODEL, ref)
    return {**key, "files": files} if files else key


def chat_refs(value: object) -> Iterator[ChatRef]:
    """Yield the chat models that options name, at any depth."""
    if isinstance(value, ChatRef):
        yield value
        return
    if isinstance(value, BaseModel):
        value = [getattr(value, name) for name in type(value).model_fields]
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from chat_refs(part)


def _reduced(value: object, dumped: object) -> object:
    """Return ``dumped`` with the identity of each chat model in ``value``; the two have the same shape."""
    if isinstance(value, ChatRef):
        return chat_key(value)
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        return {key: _reduced(getattr(value, key, None), part) for key, part in dumped.items()}
    if isinstance(value, dict) and isinstance(dumped, dict) and len(value) == len(dumped):
        pairs = zip(value.values(), dumped.items(), strict=True)
        return {key: _reduced(part, plain) for part, (key, plain) in pairs}
    if isinstance(value, list | tuple) and isinstance(dumped, list) and len(value) == len(dumped):
        return [_reduced(part, plain) for part, plain in zip(value, dumped, strict=True)]
    return dumped
