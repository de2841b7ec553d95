"""Loads plugins one at a time into pluggy; one that fails leaves nothing behind but its reason."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pluggy

from mftkit_registry.collecting import Collector, RejectedError
from mftkit_registry.markers import PROJECT
from mftkit_registry.nearest import nearest
from mftkit_registry.records import Registration, describe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mftkit_registry.discovery import Found
    from mftkit_registry.kinds import Kind


class Host:
    """A plugin manager that takes plugins whole or not at all."""

    def __init__(self, kinds: Iterable[Kind], hookspecs: Iterable[Any]) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        for module in hookspecs:
            self.manager.add_hookspecs(module)
        self.kinds = {kind.hook: kind for kind in kinds}
        self.hooks = frozenset(name for name in vars(self.manager.hook) if not name.startswith("_"))
        self.events = self.hooks - set(self.kinds)

    def load(self, found: Found) -> tuple[list[Registration], list[str]]:
        """Import and register one plugin: its components, and the run events it listens to.

        Raises RejectedError with the reason, whatever goes wrong, ``SystemExit`` at import included; the
        plugin's own writing to stdout goes to stderr, since stdout is the program's results.
        """
        plugin: Any = None
        try:
            with redirect_stdout(sys.stderr):
                plugin = found.entry_point.load() if found.entry_point else None
                listens = self._checked(plugin)
                self.manager.register(plugin, found.name)
                self.manager.check_pending()
                return self._components(plugin, found), listens
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._forget(plugin, found.name)
            raise RejectedError(
                str(error) if isinstance(error, RejectedError) else describe(error)
            ) from error

    def block(self, name: str) -> None:
        """Keep the entry point ``name`` out: it is never imported."""
        self.manager.set_blocked(name)

    def implementations(self, event: str) -> list[pluggy.HookImpl]:
        """Who listens to an event, in pluggy's order: ``tryfirst``, then the last loaded first."""
        if event not in self.events:
            raise ValueError(f"no such event: {event}")
        return list(reversed(getattr(self.manager.hook, event).get_hookimpls()))

    def _forget(self, plugin: Any, name: str) -> None:
        """Take out this very object: by name, it might be another's (a clash) that goes."""
        if plugin is not None and self.manager.get_plugin(name) is plugin:
            self.manager.unregister(plugin)

    def _checked(self, plugin: Any) -> list[str]:
        """The events it listens to. Raises RejectedError where a hook is misspelt, or there is none."""
        taken = self.manager.get_name(plugin)
        if taken is not None:
            raise RejectedError(f'the same plugin as entry point "{taken}": give it one entry point')
        marked = {}
        for attribute in dir(plugin):
            options = self.manager.parse_hookimpl_opts(plugin, attribute)
            if options is not None:
                marked[options.get("specname") or attribute] = options
        for hook, options in marked.items():
            self._check_hook(hook, options)
        unmarked = sorted(
            hook for hook in self.kinds if hook not in marked and callable(getattr(plugin, hook, None))
        )
        if unmarked:
            raise RejectedError(f"{unmarked[0]} is not marked as a hook: put @mftkit.hookimpl above it")
        if not marked:
            raise RejectedError("has no hook: mark its register_... function with @mftkit.hookimpl")
        return sorted(hook for hook in marked if hook in self.events)

    def _check_hook(self, hook: str, options: Any) -> None:
        if hook not in self.hooks:
            close = nearest(hook, self.hooks)
            hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(sorted(self.hooks))}"
            raise RejectedError(f'unknown hook "{hook}": {hint}')
        if options.get("wrapper") or options.get("hookwrapper"):
            raise RejectedError(f'hook "{hook}": wrappers are not called here: make it a plain function')

    def _components(self, plugin: Any, found: Found) -> list[Registration]:
        registrations: list[Registration] = []
        for hook, kind in self.kinds.items():
            collector = Collector(kind, found)
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                if implementation.plugin is plugin:
                    call(implementation, {"register": collector.register})
            registrations += collector.registrations.values()
        return registrations


def call(implementation: pluggy.HookImpl, arguments: dict[str, Any]) -> Any:
    """Call one implementation with those of the arguments that it names, as pluggy does."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))
