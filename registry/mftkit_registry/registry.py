"""The registry: what is installed, which of it can be used, and whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mftkit_registry.collecting import RejectedError
from mftkit_registry.discovery import Found, discover
from mftkit_registry.errors import ConflictError, UnknownComponentError
from mftkit_registry.host import Host, call
from mftkit_registry.kinds import Kind, find_kind
from mftkit_registry.markers import PROJECT
from mftkit_registry.nearest import nearest
from mftkit_registry.records import PluginRecord, Registration

if TYPE_CHECKING:
    from collections.abc import Iterable

HINT = "keep one out with MFT_BLOCK_PLUGINS={names}, or uninstall it"


class Registry:
    """All components of all kinds, by name; made by ``Registry.load``."""

    def __init__(self, kinds: Iterable[Kind], hookspecs: Iterable[Any]) -> None:
        self.kinds = tuple(kinds)
        self.warnings: list[str] = []
        """What the user should be told about how the plugins were asked for."""
        self._host = Host(self.kinds, hookspecs)
        self._components: dict[tuple[str, str], list[Registration]] = {}
        self._order: list[Registration | PluginRecord] = []
        self._listeners: dict[str, PluginRecord] = {}
        self.found: tuple[Found, ...] = ()
        """Every entry point, loaded or not."""

    @classmethod
    def load(
        cls,
        kinds: Iterable[Kind],
        hookspecs: Iterable[Any],
        *,
        group: str = PROJECT,
        blocked: Iterable[str] = (),
        first: str = "mftkit",
    ) -> Registry:
        """Load every entry point of ``group``, each by itself, those of distribution ``first`` first.

        ``hookspecs`` are modules that declare the hooks; ``blocked`` are names of entry points that are
        not imported. A plugin that fails is a row of ``plugins``; nothing is raised.
        """
        registry = cls(kinds, hookspecs)
        everything = discover(group, first)
        registry.found = tuple(everything)
        registry._block(blocked, everything)
        owners: dict[str, Found] = {}
        for found in everything:
            earlier = owners.setdefault(found.name, found)
            registry._add(found, None if earlier is found else earlier)
        return registry

    @property
    def plugins(self) -> list[PluginRecord]:
        """A row for each component, each plugin's callbacks, and each plugin that was not loaded."""
        return [self._row(item) if isinstance(item, Registration) else item for item in self._order]

    def kind(self, kind: Kind | str) -> Kind:
        """The kind itself, by any of its spellings. Raises UnknownKindError."""
        return kind if isinstance(kind, Kind) else find_kind(self.kinds, kind)

    def names(self, kind: Kind | str) -> tuple[str, ...]:
        """Names of the components of a kind that can be used, in alphabetical order."""
        wanted = self.kind(kind).name
        return tuple(
            sorted(
                name for (of, name), owners in self._components.items() if of == wanted and len(owners) == 1
            )
        )

    def get(self, kind: Kind | str, name: str) -> Registration:
        """The component ``name``. Raises UnknownComponentError, or ConflictError where two claim the name."""
        kind = self.kind(kind)
        owners = self._components.get((kind.name, name), [])
        if not owners:
            raise self.unknown(kind, name)
        if len(owners) > 1:
            raise ConflictError(self._name_conflict(owners))
        return owners[0]

    def unknown(self, kind: Kind | str, name: str = "") -> UnknownComponentError:
        """The error that says what there is of a kind, and whose ``name`` may have been."""
        names = self.names(kind)
        return UnknownComponentError(
            self.kind(kind).name, name, names, nearest(name, names), self._suspects()
        )

    def default(self, kind: Kind | str) -> str | None:
        """The component for a spec that names none, or None. Raises ConflictError where two claim it."""
        claims = self._defaults(self.kind(kind).name)
        if len({claim.name for claim in claims}) > 1:
            raise ConflictError(_default_conflict(claims))
        return claims[0].name if claims else None

    def fire(self, event: str, **arguments: Any) -> list[tuple[PluginRecord, Exception | SystemExit]]:
        """Call an event of the run on every plugin that listens to it.

        Each gets those of the arguments that it names. One that raises hurts no other: all such are returned.
        """
        failures: list[tuple[PluginRecord, Exception | SystemExit]] = []
        for implementation in self._host.implementations(event):
            try:
                call(implementation, arguments)
            except (Exception, SystemExit) as error:
                failures.append((self._listeners[implementation.plugin_name], error))
        return failures

    def listens(self, event: str) -> bool:
        """Whether any plugin listens to an event of the run."""
        return bool(self._host.implementations(event))

    def _block(self, blocked: Iterable[str], everything: list[Found]) -> None:
        known = {found.name for found in everything}
        for name in dict.fromkeys(blocked):
            self._host.block(name)
            if name not in known:
                close = nearest(name, known)
                hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(sorted(known))}"
                self.warnings.append(f'MFT_BLOCK_PLUGINS: no entry point is named "{name}"; {hint}')

    def _add(self, found: Found, earlier: Found | None) -> None:
        row = PluginRecord("plugin", found.name, "", found.distribution, found.version, found.name)
        if self._host.manager.is_blocked(found.name):
            self._order.append(replace(row, status="blocked", error="blocked by MFT_BLOCK_PLUGINS"))
            return
        try:
            if found.error is not None:
                raise RejectedError(found.error)
            if earlier is not None:
                raise RejectedError(
                    f'two distributions have an entry point "{found.name}": {earlier.owner}, taken, '
                    f"and {found.owner}, left out; uninstall one, or have one rename it"
                )
            registrations, listens = self._host.load(found)
        except RejectedError as error:
            self._order.append(replace(row, status="error", error=str(error)))
            return
        for registration in registrations:
            self._components.setdefault((registration.kind, registration.name), []).append(registration)
        self._order += registrations
        if listens:
            self._listeners[found.name] = replace(
                row, kind="callbacks", summary=f"listens to {', '.join(listens)}"
            )
            self._order.append(self._listeners[found.name])
        elif not registrations:
            self._order.append(replace(row, summary="registers nothing"))

    def _row(self, registration: Registration) -> PluginRecord:
        owners = self._components[registration.kind, registration.name]
        claims = self._defaults(registration.kind)
        error = None
        if len(owners) > 1:
            error = self._name_conflict(owners)
        elif registration in claims and len({claim.name for claim in claims}) > 1:
            error = _default_conflict(claims)
        return PluginRecord(
            registration.kind,
            registration.name,
            registration.summary,
            registration.distribution,
            registration.version,
            registration.entry_point,
            "conflict" if error else "ok",
            error,
            registration.default,
        )

    def _defaults(self, kind: str) -> list[Registration]:
        return [r for (of, _), owners in self._components.items() if of == kind for r in owners if r.default]

    def _suspects(self) -> tuple[str, ...]:
        """Plugins that were not loaded, with the reason."""
        rows = (row for row in self._order if isinstance(row, PluginRecord) and row.status != "ok")
        return tuple(f'"{row.entry_point}" of {row.distribution} {row.version} ({row.error})' for row in rows)

    def _name_conflict(self, owners: list[Registration]) -> str:
        first = owners[0]
        return f'two plugins claim the {first.kind} "{first.name}": {_both(owners)}'


def _default_conflict(claims: list[Registration]) -> str:
    named = ", ".join(f'"{claim.name}"' for claim in claims)
    return (
        f"two plugins claim the default {claims[0].kind} ({named}): {_both(claims)}, or name one in the spec"
    )


def _both(owners: list[Registration]) -> str:
    """Who they are, and the way out."""
    names = " or ".join(sorted({owner.entry_point for owner in owners}))
    return f"{' and '.join(owner.origin for owner in owners)}; {HINT.format(names=names)}"
