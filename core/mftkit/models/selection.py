"""Select the adapter that serves a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed
from mftkit.plugins.kinds import MODEL_ADAPTER
from mftkit.reporting.reporter import Reporter
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter

FALLBACK = 1
"""What ``matches`` returns for a family that the adapter serves without knowing it."""


def select_adapter(
    config: JsonObject,
    name: str = "auto",
    options: JsonObject | None = None,
    reporter: Reporter | None = None,
) -> tuple[str, ModelAdapter]:
    """Return the adapter called ``name``, or for "auto" the one that matches best; with its name.

    Raises MftError for a tie, for a config that no adapter matches, and for a named adapter that does not match. A
    broken adapter matters only if it is named: "auto" warns and skips it.
    """
    if name != "auto":
        return name, _named(config, name, options or {}, reporter)
    ranked = _ranked(config, reporter or Reporter())
    if not ranked:
        raise MftError(
            f"model.adapter: no installed adapter supports {family_of(config)}{_unsupported_hint(config)}"
        )
    best = max(rank for rank, _, _ in ranked)
    winners = [(found, adapter) for rank, found, adapter in ranked if rank == best]
    if len(winners) > 1:
        tied = " and ".join(_with_package(found) for found, _ in winners)
        raise MftError(
            f"model.adapter: {tied} match {family_of(config)} equally well: set model.adapter to one of them"
        )
    if best == FALLBACK:
        (reporter or Reporter()).note(
            f"model.adapter: no installed adapter supports {family_of(config)}; using the fallback, {winners[0][0]}, "
            "which assumes what most families have in common"
        )
    return winners[0]


def family_of(config: JsonObject) -> str:
    """Return what a config calls its model, for messages."""
    architectures = config.get("architectures") or []
    names = f" ({', '.join(map(str, architectures))})" if architectures else ""
    return f"model type {config.get('model_type')!r}{names}"


def _named(config: JsonObject, name: str, options: JsonObject, reporter: Reporter | None) -> ModelAdapter:
    adapter = _build(name, options)
    if adapter.matches(config) > 0:
        return adapter
    matching = _ranked(config, reporter or Reporter(), all_of_them=True)
    others = [found for _, found, _ in sorted(matching, reverse=True, key=_rank)]
    fits = f"these do: {', '.join(others)}" if others else "and no other installed adapter does"
    raise MftError(f"model.adapter: {name} does not support {family_of(config)}; {fits}")


def _rank(entry: tuple[int, str, ModelAdapter]) -> int:
    return entry[0]


def _ranked(
    config: JsonObject, reporter: Reporter, *, all_of_them: bool = False
) -> list[tuple[int, str, ModelAdapter]]:
    """The adapters that match; fallbacks, which need transformers to answer, only where no family's adapter does."""
    built = []
    for name in installed.registry().names(MODEL_ADAPTER):
        try:
            built.append((name, _build(name, {})))
        except (
            Exception
        ) as error:  # another package's adapter may fail in any way, and must not stop the others
            _warn_skipped(name, error, reporter)
    ranked = _matching(((n, a) for n, a in built if not a.is_fallback), config, reporter)
    if all_of_them or max((rank for rank, _, _ in ranked), default=0) <= FALLBACK:
        ranked += _matching(((n, a) for n, a in built if a.is_fallback), config, reporter)
    return ranked


def _matching(
    adapters: Iterable[tuple[str, ModelAdapter]], config: JsonObject, reporter: Reporter
) -> list[tuple[int, str, ModelAdapter]]:
    matching = []
    for name, adapter in adapters:
        try:
            rank = adapter.matches(config)
        except Exception as error:
            _warn_skipped(name, error, reporter)
            continue
        if rank > 0:
            matching.append((rank, name, adapter))
    return matching


def _warn_skipped(name: str, error: Exception, reporter: Reporter) -> None:
    reporter.warn(f"model adapter {_with_package(name)} was skipped: {type(error).__name__}: {error}")


def _build(name: str, options: JsonObject) -> ModelAdapter:
    return installed.build(MODEL_ADAPTER, name, options)


def _with_package(name: str) -> str:
    return f"{name} ({installed.registry().get(MODEL_ADAPTER, name).distribution})"


def _unsupported_hint(config: JsonObject) -> str:
    if config.get("auto_map"):
        return (
            ", which comes with its own code: install an adapter for it, or set model.trust_remote_code to true if "
            "you trust that code"
        )
    return ": it is not a causal language model of transformers; install a plugin with an adapter for it"
