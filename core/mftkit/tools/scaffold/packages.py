"""Writes a package from the templates beside this file: those common to all kinds, and those of its own kind."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds
from mftkit.tools.scaffold.names import names_for, refuse_taken
from mftkit.tools.scaffold.version_range import version_range
from mftkit_registry import MftError, find_kind

if TYPE_CHECKING:
    from mftkit.interfaces.component import Component
    from mftkit.plugins.component_kind import ComponentKind
    from mftkit.tools.scaffold.names import Names

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".jinja"


@dataclass(frozen=True)
class NewPackage:
    """The package that was written."""

    directory: Path
    kind: str
    component: str
    module: str
    """File of the component, relative to ``directory``."""


def new_package(name: str, kind: str, directory: Path | None = None) -> NewPackage:
    """Write a package with one component of a kind, its entry point and its tests.

    Args:
        name: of the component, as specs give it.
        kind: any spelling of the kind.
        directory: where the package is written; it must not exist. None: ``mft-NAME`` in the working directory.

    Raises:
        MftError: the name is invalid or taken, the kind is unknown or has no templates, or the directory exists or
            cannot be written.
    """
    known = find_kind(kinds.KINDS, kind)
    templates = _templates(known)
    names = names_for(name, known, known.noun.capitalize())
    refuse_taken(names, installed.registry())
    target = Path(names.distribution) if directory is None else directory.expanduser()
    if target.exists() or target.is_symlink():
        raise MftError(f"{target} already exists: set --directory to one that does not")
    _write(target, _rendered(known, names, templates))
    return NewPackage(target, known.name, name, f"{names.package}/{known.noun}.py")


def _templates(kind: ComponentKind[Component]) -> Path:
    templates = kind.templates or TEMPLATES / kind.name
    if not templates.is_dir():
        known = ", ".join(f'"{path.name}"' for path in sorted(TEMPLATES.iterdir()) if path.name != "common")
        raise MftError(f"--kind: there is no template for {kind.name}; known: {known}")
    return templates


def _rendered(kind: ComponentKind[Component], names: Names, templates: Path) -> dict[str, str]:
    """The files' texts, by path relative to the package's directory."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([templates.parent, TEMPLATES]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Python and TOML, with names that were checked
    )
    values = {
        **asdict(names),
        "kind": kind.name,
        "hook": kind.hook,
        "module": kind.noun,
        "suite": kind.suite.rpartition(":")[2],
        "place": kind.in_spec(f'"{names.component}"'),
        "mftkit_range": version_range(),
        "suffix": SUFFIX,
    }

    def render(path: str) -> str:
        return environment.get_template(f"{path}{SUFFIX}").render(values)

    own = templates.name
    return {
        "pyproject.toml": render("common/pyproject.toml"),
        "README.md": render("common/README.md"),
        ".gitignore": render("common/gitignore"),
        f"{names.package}/__init__.py": render("common/__init__.py"),
        f"{names.package}/py.typed": "",
        f"{names.package}/{kind.noun}.py": render(f"{own}/component.py"),
        f"tests/test_{names.package.removeprefix('mft_')}.py": render(f"{own}/test.py"),
    }


def _write(target: Path, files: dict[str, str]) -> None:
    """Write all files or none."""
    try:
        target.mkdir(parents=True)
        for path, text in files.items():
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise MftError(f"cannot write {target}: {error.strerror or error}") from error
