"""The base of a result, as a model card names it: its id on the hub and its license."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from mftkit.base.json_files import read_json_object
from mftkit.models.config import ADAPTER_CONFIG

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

UNKNOWN = "unknown"
"""The hub's name for a license that is not known."""
_IN_CACHE = re.compile(r"models--(?P<id>[^/\\]+)[/\\]snapshots[/\\]")


@dataclass(frozen=True)
class Base:
    """What a result was trained from."""

    hub_id: str | None
    """None for a checkpoint that is only on a disk, and for a random start."""
    description: str
    license: str


def describe_base(spec: JsonObject, environment: JsonObject, place: Path) -> Base:
    """The base of the result in ``place``, from the files of its run; nothing is asked of a network."""
    start = environment.get("start")
    model = spec.get("model") if not isinstance(start, dict) else start.get("model")
    model = model if isinstance(model, dict) else {}
    if model.get("init") == "random" or (model.get("config") and not model.get("path")):
        config = model.get("config")
        kind = config.get("model_type") if isinstance(config, dict) else None
        what = f"a random start of a {kind} model" if kind else "a random start"
        return Base(None, what, UNKNOWN)
    path = model.get("path") or _base_of_adapter(place)
    if not isinstance(path, str) or not path:
        return Base(None, "a checkpoint that is not named", UNKNOWN)
    hub_id = hub_id_of(path)
    known = _license(path, hub_id)
    return Base(hub_id, hub_id or f"the local checkpoint {Path(path).name}", known)


def hub_id_of(path: str) -> str | None:
    """The hub id that a path is, or whose copy in the hub's cache it is; None for any other directory.

    >>> hub_id_of("org/name"), hub_id_of("/x/models--org--name/snapshots/abc"), hub_id_of("/x/name")
    ('org/name', 'org/name', None)
    """
    if found := _IN_CACHE.search(f"{path}/"):
        return found["id"].replace("--", "/", 1)
    return None if Path(path).is_absolute() or Path(path).is_dir() else path


def _base_of_adapter(place: Path) -> str | None:
    file = place / ADAPTER_CONFIG
    named = read_json_object(file).get("base_model_name_or_path") if file.is_file() else None
    return named if isinstance(named, str) else None


def _license(path: str, hub_id: str | None) -> str:
    """The license in the base's own card, if the card is on this disk."""
    card = Path(path) / "README.md"
    if hub_id is not None and not card.is_file():
        with suppress(HFValidationError):
            cached = try_to_load_from_cache(hub_id, "README.md")
            card = Path(cached) if isinstance(cached, str) else card
    return card_license(card) if card.is_file() else UNKNOWN


def card_license(card: Path) -> str:
    """The license that a card names; ``UNKNOWN`` for none, and for a card that cannot be read."""
    try:
        named = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict().get("license")
    except (OSError, ValueError):
        return UNKNOWN
    return named if isinstance(named, str) and named else UNKNOWN
