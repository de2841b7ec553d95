"""``mft plugins check``: tests of an installed component against its kind."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.base.json_files import read_json_object
from mftkit.cli.console import result, show_message, table
from mftkit_registry import MftError, UnknownComponentError, find_kind, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import Component
    from mftkit.plugins.component_kind import ComponentKind
    from mftkit_registry import Registration

FAILED = 1


def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of the component, or path of a file plugin.", show_default=False
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="K",
            help="Its kind, if components of several kinds have the name.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="option=value",
            help="Set an option of the component; the value is JSON, or else a string. May be given many times.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="config.json of a tiny model to check a model adapter or a tuning with.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the conformance suite on a component, or on all components of a Python file.

    The exit code is 1 if a check fails. The checks are those of mftkit.testing, which a plugin's own tests inherit.
    """
    chosen = [find(name, kind)] if not _is_file(name) else components_of_file(Path(name), kind)
    if settings and len(chosen) > 1:
        names = ", ".join(f"{known.name} {registration.name}" for known, registration in chosen)
        raise MftError(
            f"--set: {name} has several components ({names}): choose a kind that has one with --kind"
        )
    failed = [_check_one(known, registration, settings or [], config) for known, registration in chosen]
    if any(failed):
        raise typer.Exit(FAILED)


def _check_one(
    known_kind: "ComponentKind[Component]",
    registration: "Registration[Component]",
    settings: "Sequence[str]",
    config: Path | None,
) -> int:
    """Check one component, and return how many checks failed."""
    from mftkit.plugins import installed

    component = installed.class_of(registration)
    chosen: dict[str, object] = {"options": _options(component.Options, settings)}
    if config is not None:
        chosen["config"] = _config(config)
    show_message(f"checking {registration.kind} {registration.name} of {registration.origin}")

    from mftkit.testing.running import run_suite, suite_for

    suite = suite_for(known_kind, component, **chosen)
    if hasattr(suite, "config"):
        _quiet()
    elif config is not None:
        raise MftError(f"--config: a {registration.kind} is not checked with a model")
    rows = list(run_suite(suite))
    table(("check", "result", "details"), [(row.check, row.outcome, row.what) for row in rows])
    failed, warned = (sum(row.outcome == outcome for row in rows) for outcome in ("failed", "warning"))
    result(
        f"{len(rows)} checks: {len(rows) - failed} passed, {warned} of them with a warning; {failed} failed"
    )
    return failed


def _is_file(name: str) -> bool:
    """Whether a name is that of a file plugin: no component's name looks like one."""
    return name.endswith(".py") or "/" in name


def components_of_file(
    path: Path, kind: str | None
) -> "list[tuple[ComponentKind[Component], Registration[Component]]]":
    """The components of a file plugin, of all kinds unless one is given.

    Raises MftError if it cannot be loaded, or has none.
    """
    from mftkit.plugins import installed
    from mftkit.plugins.kinds import KINDS
    from mftkit.plugins.local import load_plugins

    loaded = load_plugins([path], Path.cwd())
    if loaded.problems:
        raise MftError("; ".join(what for _, what in loaded.problems))
    installed.select_plugins(loaded.plugins)
    searched = KINDS if kind is None else (find_kind(KINDS, kind),)
    names = {plugin.name for plugin in loaded.plugins}
    found = [
        (known, installed.registry().get(known, row.name))
        for known in searched
        for row in installed.registry().registrations
        if row.kind == known.name and row.entry_point in names
    ]
    if not found:
        raise MftError(f"{path}: registers no {'component' if kind is None else searched[0].name}")
    return found


def find(name: str, kind: str | None) -> "tuple[ComponentKind[Component], Registration[Component]]":
    """The component of this name, of any kind unless one is given.

    Raises UnknownComponentError, and MftError if components of two kinds have the name.
    """
    from mftkit.plugins.installed import registry
    from mftkit.plugins.kinds import KINDS

    if kind is not None:
        found = find_kind(KINDS, kind)
        return found, registry().get(found, name)
    rows = registry().plugins
    claims = {row.kind for row in rows if row.name == name and row.status in ("ok", "conflict")}
    claimed = [known for known in KINDS if known.name in claims]
    if not claimed:
        raise _unknown(name)
    if len(claimed) > 1:
        names = " and of a ".join(known.name for known in claimed)
        raise MftError(f'"{name}" is the name of a {names}: choose one with --kind')
    return claimed[0], registry().get(claimed[0], name)


def _unknown(name: str) -> UnknownComponentError:
    from mftkit.plugins.installed import registry

    names = tuple(dict.fromkeys(n for kind in registry().kinds for n in registry().names(kind)))
    return UnknownComponentError("component", name, names, nearest(name, names), registry().not_loaded())


def _options(model: "type[BaseModel]", settings: "Sequence[str]") -> "JsonObject":
    """The options that ``--set`` gives, checked; paths are relative to the working directory."""
    from pydantic import ValidationError

    from mftkit.spec.overrides import apply_overrides
    from mftkit.spec.positions import Positions
    from mftkit.spec.problems import SpecError, problems_of

    given = apply_overrides({}, settings)
    try:
        model.model_validate(given, context={"directory": Path.cwd()})
    except ValidationError as error:
        raise SpecError(Positions("options"), problems_of(error, given, model)) from error
    return given


def _config(path: Path) -> "JsonObject":
    try:
        return read_json_object(path)
    except (OSError, ValueError) as error:
        raise MftError(f"--config {path}: cannot be read as a checkpoint's config.json: {error}") from error


def _quiet() -> None:
    """Silence what transformers prints while it writes and reads tiny models."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
