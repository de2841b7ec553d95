"""Loads plugins into pluggy one at a time; one that fails leaves nothing behind but the reason."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import pluggy

from mftkit_registry.collecting import Collector, RejectedError
from mftkit_registry.markers import PROJECT, registration_hook
from mftkit_registry.nearest import nearest
from mftkit_registry.records import Registration, describe
from mftkit_registry.tracing import Trace, call

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

    from mftkit_registry.discovery import Found
    from mftkit_registry.kinds import Kind


class Host:
    """A plugin manager that loads a plugin completely or not at all."""

    def __init__(
        self, kinds: Iterable[Kind[object]], hookspecs: Iterable[ModuleType], trace: Trace | None = None
    ) -> None:
        """``trace`` receives a line per call of a hook."""
        self.trace = trace
        self._hookspecs = tuple(hookspecs)
        self.manager = pluggy.PluginManager(PROJECT)
        for module in self._hookspecs:
            self.manager.add_hookspecs(module)
        self.kinds = {kind.hook: kind for kind in kinds}
        undeclared = [kind for hook, kind in self.kinds.items() if not hasattr(self.manager.hook, hook)]
        if undeclared:
            hooks = {kind.hook: registration_hook(kind, __name__) for kind in undeclared}
            self.manager.add_hookspecs(type("GeneratedHooks", (), hooks))
        self.hooks = frozenset(name for name in vars(self.manager.hook) if not name.startswith("_"))
        self.events = self.hooks - set(self.kinds)

    def copy(self) -> Host:
        """A host of the same plugins, none of which is called again; what is loaded into it is not loaded here."""
        copied = Host(self.kinds.values(), self._hookspecs, self.trace)
        for name, plugin in self.manager.list_name_plugin():
            if plugin is None:
                copied.block(name)
            else:
                copied.manager.register(plugin, name)
        return copied

    def load(self, found: Found) -> tuple[list[Registration[object]], list[str]]:
        """Import and register one plugin: its components, and the run events it listens to.

        Raises RejectedError with the reason, whatever goes wrong, even for ``SystemExit`` during import. What the
        plugin prints goes to stderr, since stdout holds the program's results.
        """
        plugin: object = None
        try:
            with redirect_stdout(sys.stderr):
                plugin = found.load()
                listens = self._checked(plugin, local=found.local is not None)
                self.manager.register(plugin, found.name)
                self.manager.check_pending()
                return self._components(plugin, found), listens
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._forget(plugin, found.name)
            raise RejectedError(_reason(error, found)) from error

    def block(self, name: str) -> None:
        """Block the entry point ``name``: it is never imported."""
        self.manager.set_blocked(name)

    def implementations(self, event: str) -> list[pluggy.HookImpl]:
        """The listeners of an event, in pluggy's order: ``tryfirst``, then the last loaded first."""
        if event not in self.events:
            raise ValueError(f"no such event: {event}")
        return list(reversed(getattr(self.manager.hook, event).get_hookimpls()))

    def _forget(self, plugin: object, name: str) -> None:
        """Unregister this very object: under its name there may be another one (a clash)."""
        if plugin is not None and self.manager.get_plugin(name) is plugin:
            self.manager.unregister(plugin)

    def _checked(self, plugin: object, *, local: bool) -> list[str]:
        """The events that it listens to. Raises RejectedError if a hook is misspelt, or there is none."""
        taken = self.manager.get_name(plugin)
        if taken is not None and local:
            raise RejectedError(
                f'is entry point "{taken}" of an installed package already: leave it out here'
            )
        if taken is not None:
            raise RejectedError(f'the same plugin as entry point "{taken}": declare one entry point only')
        marked = {}
        for attribute in dir(plugin):
            options = self.manager.parse_hookimpl_opts(plugin, attribute)
            if options is not None:
                marked[options.get("specname") or attribute] = options
        for hook, options in marked.items():
            self._check_hook(hook, options, plugin)
        unmarked = sorted(
            hook for hook in self.kinds if hook not in marked and callable(getattr(plugin, hook, None))
        )
        if unmarked:
            raise _faulty(
                getattr(plugin, unmarked[0]),
                f"{unmarked[0]} is not marked as a hook: put @mftkit.hookimpl above it",
            )
        if not marked:
            raise RejectedError("has no hook: mark its register_... function with @mftkit.hookimpl")
        return sorted(hook for hook in marked if hook in self.events)

    def _check_hook(self, hook: str, options: Mapping[str, object], plugin: object) -> None:
        function = getattr(plugin, hook, None)
        if hook not in self.hooks:
            close = nearest(hook, self.hooks)
            hint = f'did you mean "{close[0]}"?' if close else f"known hooks: {', '.join(sorted(self.hooks))}"
            raise _faulty(function, f'unknown hook "{hook}": {hint}')
        if options.get("wrapper") or options.get("hookwrapper"):
            raise _faulty(function, f'hook "{hook}": wrappers are not supported: make it a plain function')

    def _components(self, plugin: object, found: Found) -> list[Registration[object]]:
        registrations: list[Registration[object]] = []
        for hook, kind in self.kinds.items():
            collector = Collector(kind, found)
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                if implementation.plugin is plugin:
                    call(implementation, hook, {"register": collector.register}, self.trace)
            registrations += collector.registrations.values()
        return registrations


def _faulty(function: object, reason: str) -> RejectedError:
    """The error of a hook that is wrong as it is written."""
    error = RejectedError(reason)
    error.function = function
    return error


def _reason(error: BaseException, found: Found) -> str:
    """Why a plugin cannot be loaded; with the file and the line where a file has the plugin."""
    text = str(error) if isinstance(error, RejectedError) else None
    if found.local is None:
        return text or describe(error)
    where = found.local.located(error, getattr(error, "function", None))
    return where.replace("RejectedError: ", "", 1) if text else where
