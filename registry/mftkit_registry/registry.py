"""The registry: what is installed, what can be used, and which plugin provides it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit_registry.collecting import RejectedError
from mftkit_registry.discovery import Found, discover
from mftkit_registry.errors import ConflictError, UnknownComponentError
from mftkit_registry.host import Host
from mftkit_registry.kinds import C_co, Kind, find_kind
from mftkit_registry.markers import PROJECT
from mftkit_registry.nearest import nearest
from mftkit_registry.records import PluginRecord, Registration
from mftkit_registry.tracing import Trace, call

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

    import pluggy

    from mftkit_registry.local import LocalPlugin

HINT = "block one of them with MFT_BLOCK_PLUGINS={names}, or uninstall it"


class Registry:
    """All components of all kinds, by name; made by ``Registry.load``."""

    def __init__(self, kinds: Iterable[Kind[object]], host: Host, first: str) -> None:
        self.kinds = tuple(kinds)
        self.first = first
        """The distribution whose plugins come first, and whose defaults win."""
        self.warnings: list[str] = []
        """Warnings for the user about the plugins and how they were selected."""
        self._host = host
        self._components: dict[tuple[str, str], list[Registration[object]]] = {}
        self._order: list[Registration[object] | PluginRecord] = []
        self._listeners: dict[str, PluginRecord] = {}
        self.found: tuple[Found, ...] = ()
        """Every entry point, loaded or not."""

    @classmethod
    def load(
        cls,
        kinds: Iterable[Kind[object]],
        hookspecs: Iterable[ModuleType],
        *,
        group: str = PROJECT,
        blocked: Iterable[str] = (),
        first: str = "mftkit",
        trace: Trace | None = None,
    ) -> Registry:
        """Load every entry point of ``group``, each on its own, those of distribution ``first`` first.

        ``hookspecs`` are modules that declare events, and the hooks of kinds unless they are to be generated.
        ``blocked`` are names of entry points that are not imported, ``trace`` receives a line per call of a hook. A
        plugin that fails is a row of ``plugins``; nothing is raised.
        """
        kinds = tuple(kinds)
        registry = cls(kinds, Host(kinds, hookspecs, trace), first)
        everything = discover(group, first)
        registry.found = tuple(everything)
        registry._block(blocked, everything)
        owners: dict[str, Found] = {}
        for found in everything:
            earlier = owners.setdefault(found.name, found)
            registry._add(found, None if earlier is found else earlier)
        for kind in registry.kinds:
            registry.warnings += registry._overruled_defaults(kind)
        return registry

    def extended(self, plugins: Iterable[LocalPlugin]) -> Registry:
        """A registry of the same plugins and these, each loaded as an installed one is; this one stays as it is.

        One that fails is a row of ``plugins`` and in ``local_errors``; nothing is raised.
        """
        more = Registry(self.kinds, self._host.copy(), self.first)
        more._components = {key: list(owners) for key, owners in self._components.items()}
        more._order, more._listeners = list(self._order), dict(self._listeners)
        before = set(self.warnings)
        added = [Found.of_local(plugin) for plugin in plugins]
        more.found = (*self.found, *added)
        for found in added:
            more._add(found, None)
        for kind in more.kinds:
            more.warnings += [text for text in more._overruled_defaults(kind) if text not in before]
        return more

    def local_errors(self, name: str) -> list[str]:
        """Why the local plugin ``name`` cannot be used: it failed, or another one has a name that it claims."""
        errors = [
            str(row.error)
            for row in self._order
            if isinstance(row, PluginRecord) and row.entry_point == name and row.status != "ok"
        ]
        for owners in self._components.values():
            others = [owner.origin for owner in owners if owner.entry_point != name]
            if others and len(owners) > len(others):
                mine = owners[0]
                errors.append(
                    f'the {mine.kind} "{mine.name}" of {name} is also registered by {" and ".join(others)}; choose '
                    "another name"
                )
        return errors

    @property
    def plugins(self) -> list[PluginRecord]:
        """A row for each component, each plugin's callbacks, and each plugin that is not loaded."""
        return [self._row(item) if isinstance(item, Registration) else item for item in self._order]

    @property
    def registrations(self) -> list[Registration[object]]:
        """All components, those in conflict included."""
        return [item for item in self._order if isinstance(item, Registration)]

    def kind(self, name: str) -> Kind[object]:
        """The kind that a user calls ``name``. Raises UnknownKindError."""
        return find_kind(self.kinds, name)

    def names(self, kind: Kind[object]) -> tuple[str, ...]:
        """Names of the components of a kind that can be used, in alphabetical order."""
        usable = (
            name for (of, name), owners in self._components.items() if of == kind.name and len(owners) == 1
        )
        return tuple(sorted(usable))

    def get(self, kind: Kind[C_co], name: str) -> Registration[C_co]:
        """The component ``name``. Raises UnknownComponentError, or ConflictError if two plugins claim the name."""
        owners: list[Registration[C_co]] = self._components.get((kind.name, name), [])  # type: ignore[assignment]
        if not owners:
            raise self.unknown(kind, name)
        if len(owners) > 1:
            raise ConflictError(self._name_conflict(owners))
        return owners[0]

    def unknown(self, kind: Kind[object], name: str = "") -> UnknownComponentError:
        """The error for an unknown ``name``: what is installed of the kind, and which plugins are not loaded."""
        names = self.names(kind)
        return UnknownComponentError(kind.name, name, names, nearest(name, names), self.not_loaded())

    def default(self, kind: Kind[object]) -> str | None:
        """The component for a spec that names none, or None.

        A default of distribution ``first`` wins. Raises ConflictError if two others claim it.
        """
        claims = self._defaults(kind.name)
        if len({claim.name for claim in claims}) > 1:
            raise ConflictError(_default_conflict(claims))
        return claims[0].name if claims else None

    def fire(self, event: str, **arguments: object) -> list[tuple[PluginRecord, Exception | SystemExit]]:
        """Call an event of the run on every plugin that listens to it.

        Each gets the arguments that it names. If one raises, the others are still called; all failures are returned.
        """
        failures: list[tuple[PluginRecord, Exception | SystemExit]] = []
        for plugin, listener in self.listeners(event):
            try:
                listener(arguments)
            except (Exception, SystemExit) as error:
                failures.append((plugin, error))
        return failures

    def listeners(self, event: str) -> Iterator[tuple[PluginRecord, Listener]]:
        """Each plugin that listens to an event, with what calls it: with those of the arguments that it names."""
        for implementation in self._host.implementations(event):
            yield (
                self._listeners[implementation.plugin_name],
                Listener(implementation, event, self._host.trace),
            )

    @property
    def trace(self) -> Trace | None:
        """Receives a line per call of a hook; None: nothing does."""
        return self._host.trace

    def listening(self) -> list[PluginRecord]:
        """The rows of the plugins that listen to events."""
        return list(self._listeners.values())

    def _block(self, blocked: Iterable[str], everything: list[Found]) -> None:
        known = {found.name for found in everything}
        for name in dict.fromkeys(blocked):
            self._host.block(name)
            if name not in known:
                close = nearest(name, known)
                hint = f'did you mean "{close[0]}"?' if close else f"known: {', '.join(sorted(known))}"
                self.warnings.append(f'MFT_BLOCK_PLUGINS: no entry point is named "{name}"; {hint}')

    def _add(self, found: Found, earlier: Found | None) -> None:
        digest = found.local.sha256 if found.local is not None else None
        row = PluginRecord(
            "plugin", found.name, "", found.distribution, found.version, found.name, sha256=digest
        )
        if self._host.manager.is_blocked(found.name):
            self._order.append(replace(row, status="blocked", error="blocked by MFT_BLOCK_PLUGINS"))
            return
        try:
            if found.error is not None:
                raise RejectedError(found.error)
            if earlier is not None:
                raise RejectedError(
                    f'two distributions have an entry point "{found.name}": {earlier.owner}, which is used, '
                    f"and {found.owner}, which is ignored; uninstall one, or have one rename it"
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

    def _row(self, registration: Registration[object]) -> PluginRecord:
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
            registration in claims,
            self._digest_of(registration),
        )

    def _digest_of(self, registration: Registration[object]) -> str | None:
        if not registration.is_local:
            return None
        found = next(found for found in self.found if found.name == registration.entry_point and found.local)
        return found.local.sha256 if found.local is not None else None

    def _defaults(self, kind: str) -> list[Registration[object]]:
        """The claims to be the default of a kind among which it is chosen: those of ``first``, or else all."""
        claims = self._claims(kind)
        return [claim for claim in claims if claim.distribution == self.first] or claims

    def _claims(self, kind: str) -> list[Registration[object]]:
        return [r for (of, _), owners in self._components.items() if of == kind for r in owners if r.default]

    def _overruled_defaults(self, kind: Kind[object]) -> list[str]:
        chosen = self._defaults(kind.name)
        return [
            f'{claim.origin} claims the default {kind.name} for "{claim.name}"; the default stays '
            f'"{chosen[0].name}" of {chosen[0].distribution}. To use "{claim.name}", name it in the spec'
            for claim in self._claims(kind.name)
            if claim not in chosen and claim.name != chosen[0].name
        ]

    def not_loaded(self) -> tuple[str, ...]:
        """The plugins that are broken or blocked, each with the reason."""
        rows = (row for row in self._order if isinstance(row, PluginRecord) and row.status != "ok")
        return tuple(f'"{row.entry_point}" of {row.distribution} {row.version} ({row.error})' for row in rows)

    def _name_conflict(self, owners: Sequence[Registration[object]]) -> str:
        first = owners[0]
        return f'two plugins claim the {first.kind} "{first.name}": {_both(owners)}'


class Listener:
    """Calls one plugin's implementation of an event."""

    def __init__(self, implementation: pluggy.HookImpl, event: str, trace: Trace | None) -> None:
        self._implementation = implementation
        self._event = event
        self._trace = trace

    def __call__(self, arguments: Mapping[str, object]) -> None:
        """Raise whatever the plugin raises."""
        call(self._implementation, self._event, arguments, self._trace)


def _default_conflict(claims: Sequence[Registration[object]]) -> str:
    named = ", ".join(f'"{claim.name}"' for claim in claims)
    return (
        f"two plugins claim the default {claims[0].kind} ({named}): {_both(claims)}, or name one in the spec"
    )


def _both(owners: Sequence[Registration[object]]) -> str:
    """Both owners, and how to resolve the conflict."""
    files = [owner.origin for owner in owners if owner.is_local]
    names = " or ".join(sorted({owner.entry_point for owner in owners}))
    hint = f"choose another name in {files[0]}" if files else HINT.format(names=names)
    return f"{' and '.join(owner.origin for owner in owners)}; {hint}"
