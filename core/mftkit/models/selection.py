"""Which adapter serves a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mftkit.plugins import installed
from mftkit.plugins.kinds import MODEL_ADAPTER
from mftkit.reporting.reporter import Reporter
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from mftkit.interfaces.model import ModelAdapter

FALLBACK = 1
"""What ``matches`` gives for a family that an adapter serves without knowing it."""


def select_adapter(
    config: dict[str, Any],
    name: str = "auto",
    options: dict[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> tuple[str, ModelAdapter]:
    """The adapter that ``name`` asks for, or under "auto" the one that matches best; with its name.

    A tie of the best, and a config that no adapter matches, raise MftError; so does a named adapter that
    does not match. An adapter that breaks hurts only who names it: "auto" warns of it and goes on.
    """
    if name != "auto":
        return name, _named(config, name, options or {}, reporter)
    ranked = _ranked(config, reporter or Reporter())
    if not ranked:
        raise MftError(f"model.adapter: no installed adapter knows {family_of(config)}{_way_out(config)}")
    best = max(rank for rank, _, _ in ranked)
    winners = [(found, adapter) for rank, found, adapter in ranked if rank == best]
    if len(winners) > 1:
        named = " and ".join(_told(found) for found, _ in winners)
        raise MftError(f"model.adapter: {named} match {family_of(config)} equally well: name the one to use")
    if best == FALLBACK:
        (reporter or Reporter()).note(
            f"model.adapter: no installed adapter knows {family_of(config)}: {winners[0][0]}, the fallback, "
            "serves it, and takes what is common to most families"
        )
    return winners[0]


def family_of(config: dict[str, Any]) -> str:
    """What a config calls its model, for messages."""
    architectures = config.get("architectures") or []
    shown = f" ({', '.join(map(str, architectures))})" if architectures else ""
    return f"model type {config.get('model_type')!r}{shown}"


def _named(
    config: dict[str, Any], name: str, options: dict[str, Any], reporter: Reporter | None
) -> ModelAdapter:
    adapter = _build(name, options)
    if adapter.matches(config) > 0:
        return adapter
    others = [
        found for _, found, _ in sorted(_ranked(config, reporter or Reporter()), reverse=True, key=_rank)
    ]
    fits = f"these do: {', '.join(others)}" if others else "and no other installed adapter does"
    raise MftError(f"model.adapter: {name} does not know {family_of(config)}; {fits}")


def _rank(entry: tuple[int, str, ModelAdapter]) -> int:
    return entry[0]


def _ranked(config: dict[str, Any], reporter: Reporter) -> list[tuple[int, str, ModelAdapter]]:
    found = []
    for name in installed.registry().names(MODEL_ADAPTER):
        try:
            adapter = _build(name, {})
            rank = adapter.matches(config)
        except Exception as error:  # a stranger's adapter may fail in any way, and must not stop the others
            reporter.warn(f"model adapter {_told(name)} was left out: {type(error).__name__}: {error}")
            continue
        if rank > 0:
            found.append((rank, name, adapter))
    return found


def _build(name: str, options: dict[str, Any]) -> ModelAdapter:
    return installed.build(MODEL_ADAPTER, name, options)


def _told(name: str) -> str:
    return f"{name} ({installed.registry().get(MODEL_ADAPTER, name).distribution})"


def _way_out(config: dict[str, Any]) -> str:
    if config.get("auto_map"):
        return ", which brings its own code: an adapter for it, or model.trust_remote_code, is needed"
    return ": it is no causal language model of transformers; install a plugin with an adapter for it"
