"""The spec's own plugins: loaded before the rest of the spec is read, and in use while its run is made."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from mftkit.interfaces import AUTO
from mftkit.plugins import installed, kinds
from mftkit.plugins.local import LoadedPlugins, load_plugins
from mftkit.spec.problems import Problem, refuse, refuse_one
from mftkit.spec.reading import read_spec_file
from mftkit_registry import LocalPlugin, MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import Component
    from mftkit_registry import Kind

F = TypeVar("F", bound=Callable[..., object])
KEY = "plugins"
_LOADED = "loaded plugins"
"""Key of the validation context."""


def _read(value: object, info: ValidationInfo) -> list[LocalPlugin]:
    if not isinstance(value, list | tuple):
        refuse_one("should be a list of paths of Python files", value)
    context = info.context or {}
    loaded = context.get(_LOADED)
    if not isinstance(loaded, LoadedPlugins):
        loaded = load_plugins(value, Path(context.get("directory") or Path.cwd()))
    if loaded.problems:
        refuse(
            Problem((index,), what, _text(value[index]), shows_given=False) for index, what in loaded.problems
        )
    return list(loaded.plugins)


def _text(given: object) -> str:
    return given.name if isinstance(given, LocalPlugin) else str(given)


PluginFiles = Annotated[
    list[LocalPlugin],
    PlainValidator(_read),
    PlainSerializer(lambda plugins: [plugin.name for plugin in plugins]),
    WithJsonSchema({"type": "array", "items": {"type": "string", "minLength": 1}}),
]
"""Plugins that a spec names by their files; in JSON their paths."""


@contextmanager
def own_plugins(
    data: "JsonObject", context: dict[str, object], more: Sequence[object] = ()
) -> Iterator["JsonObject"]:
    """Load the plugins of a spec, with ``more`` that are given in Python, and use them inside of the context manager.

    Yields the spec with all of them in it. What is wrong with them is reported when the spec is validated in
    ``context``.
    """
    listed = data.get(KEY, [])
    plugins: tuple[LocalPlugin, ...] = ()
    if isinstance(listed, list | tuple):
        directory = Path(str(context.get("directory") or Path.cwd()))
        loaded = load_plugins(listed, directory, more)
        context[_LOADED] = loaded
        plugins = loaded.plugins
        if listed or more:
            data = {**data, KEY: [*listed, *more]}
    with installed.using_plugins(plugins):
        yield data


def without_consequences(problems: list[Problem]) -> list[Problem]:
    """Leave out unknown components if a plugin of the spec is wrong: it may have them."""
    if not any(problem.location[:1] == (KEY,) for problem in problems):
        return problems
    return [
        problem
        for problem in problems
        if not (problem.location[-1:] in (("name",), ("method",)) and problem.what.startswith("unknown "))
    ]


def with_own_plugins(function: F) -> F:
    """Decorate what works on a spec, its first argument: names of components mean those of the spec's own plugins."""
    declared = signature(function)

    @wraps(function)
    def working(*arguments: object, **more: object) -> object:
        spec = next(iter(declared.bind(*arguments, **more).arguments.values()))
        with installed.using_plugins(spec.plugins):
            return function(*arguments, **more)

    return cast("F", working)


def select_plugins_of(spec: Mapping[str, Any], run: Path) -> None:
    """Use the plugins that the spec.json of a run names from now on, to generate text with its result.

    Raises:
        MftError: one of them cannot be loaded, and the run's model adapter or a task format is missing.
    """
    loaded = load_plugins(spec.get(KEY) or [], run)
    installed.select_plugins(loaded.plugins)
    named: list[tuple[Kind[Component], Any]] = [(kinds.MODEL_ADAPTER, spec.get("model", {}).get("adapter"))]
    named += [(kinds.TASK_FORMAT, task.get("format")) for task in spec.get("tasks", [])]
    for kind, ref in named if loaded.problems else []:
        name = ref.get("name") if isinstance(ref, dict) else ref
        if name not in (None, AUTO) and name not in installed.registry().names(kind):
            problems = "; ".join(what for _, what in loaded.problems)
            raise MftError(f'{run / "spec.json"}: {KEY}: the {kind.name} "{name}" needs a plugin: {problems}')


def select_plugins_of_file(path: Path) -> None:
    """Use the plugins that a spec file names from now on; the rest of the spec is not read.

    One that cannot be loaded is a row in the list of plugins.

    Raises:
        MftError: the file cannot be read, or a plugin that it names is missing.
    """
    data, _ = read_spec_file(path)
    given = data.get(KEY) or []
    loaded = load_plugins(given if isinstance(given, list) else [given], path.absolute().parent)
    if loaded.missing:
        raise MftError(f"{path}: {KEY}: {'; '.join(loaded.missing)}")
    installed.select_plugins(loaded.plugins)
