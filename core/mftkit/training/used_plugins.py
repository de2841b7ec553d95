"""The plugins of other packages, and the spec's own, that take part in a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from mftkit.base.formatting import place
from mftkit.base.json_files import read_json_object
from mftkit.plugins import installed
from mftkit.training.used_components import used_registrations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec

OWN = "mftkit"


class UsedPlugin(TypedDict):
    """One plugin, as environment.json has it."""

    name: str
    """The entry point, or the path of a file."""
    distribution: str
    version: str
    components: list[str]
    """Those that the run uses, as "KIND NAME"; empty for a plugin that only listens."""
    listens: bool
    """Whether it has hooks for the events of a run."""
    path: NotRequired[str]
    """Of a plugin that the spec names by its file."""
    sha256: NotRequired[str | None]


def used_plugins(spec: Spec, adapter: str | None = None) -> list[UsedPlugin]:
    """The plugins, not of mftkit itself, whose components a run uses, that listen to it, or that its spec names.

    ``adapter`` is the name of the model adapter, if the spec leaves the choice to the program and it was made.
    """
    registry = installed.registry()
    listening = {row.entry_point for row in registry.listening()}
    components: dict[str, list[str]] = {}
    for component in used_registrations(spec, adapter):
        components.setdefault(component.entry_point, []).append(f"{component.kind} {component.name}")
    digests = {plugin.name: plugin.sha256 for plugin in spec.plugins}
    used: list[UsedPlugin] = []
    for found in registry.found:
        takes_part = found.name in components or found.name in listening or found.local is not None
        if found.distribution == OWN or not takes_part:
            continue
        plugin: UsedPlugin = {
            "name": found.name,
            "distribution": found.distribution,
            "version": found.version,
            "components": components.get(found.name, []),
            "listens": found.name in listening,
        }
        if found.local is not None:
            plugin |= {"path": found.name, "sha256": digests.get(found.name)}
        used.append(plugin)
    return used


def plugins_line(plugins: Iterable[UsedPlugin]) -> str | None:
    """The first line of a run: plugins with their versions, and what of them is used; None without plugins."""
    shown = [_shown(plugin) for plugin in plugins]
    return f"plugins: {', '.join(shown)}" if shown else None


def _shown(plugin: UsedPlugin) -> str:
    what = [*plugin["components"], *(["listens to the run"] if plugin["listens"] else [])]
    name = f"{plugin['distribution']} {plugin['version']}"
    if "path" in plugin:
        name = _short(plugin["path"])
    return f"{name} ({', '.join(what) or 'unused'})"


def _short(path: str) -> str:
    """A path as in a spec beside it; other names unchanged."""
    if not Path(path).is_absolute():
        return path
    short = place(Path(path))
    return short if Path(short).is_absolute() else f"./{short}"


def changed_plugins(before: Iterable[UsedPlugin], now: Iterable[UsedPlugin]) -> list[str]:
    """In words, the differences between the plugins of an unfinished run and those with which it resumes."""
    old, new = ({plugin["name"]: plugin for plugin in plugins} for plugins in (before, now))
    changes = []
    unchanged = {_content(plugin) for plugin in old.values()} & {_content(plugin) for plugin in new.values()}
    old, new = (
        {name: plugin for name, plugin in plugins.items() if _content(plugin) not in unchanged}
        for plugins in (old, new)
    )
    for name, plugin in new.items():
        was = old.get(name)
        if was is None:
            changes.append(f"{_shown(plugin)} is new")
        elif was.get("sha256") != plugin.get("sha256"):
            changes.append(f"{_shown(plugin)} has changed")
        elif was["version"] != plugin["version"]:
            changes.append(f"{_shown(plugin)} was version {was['version']}")
    changes += [f"{_shown(plugin)} is gone" for name, plugin in old.items() if name not in new]
    return changes


def _content(plugin: UsedPlugin) -> tuple[str, ...]:
    """What makes a plugin the same one: for a file its name and content, wherever it lies."""
    if "path" in plugin:
        return Path(plugin["name"]).name, str(plugin.get("sha256"))
    return plugin["name"], plugin["distribution"], plugin["version"]


def report_changed_plugins(run: Path, now: Iterable[UsedPlugin], reporter: Reporter) -> None:
    """Warn of plugins that are not those of the run's environment.json: the steps so far were made by other code."""
    try:
        before = read_json_object(run / "environment.json").get("plugins")
    except (OSError, ValueError):
        return
    if before is None:  # written by an earlier version
        return
    changes = changed_plugins(before, now)
    if changes:
        reporter.warn(
            f"plugins changed since the run in {run} was last started: {'; '.join(changes)}. The steps so far were "
            "made with the old ones; --fresh starts over."
        )
