"""Writing a package from the templates beside this file: those of all kinds, and those of its own kind."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.plugins import kinds
from mftkit.tools.scaffold.names import names_for, refuse_taken
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.tools.scaffold.names import Names
    from mftkit_registry import Kind

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".jinja"


@dataclass(frozen=True)
class Template:
    """What differs from kind to kind, but for the templates themselves."""

    noun: str
    """Ends the name of the class."""
    module: str
    """The module of the component."""
    suite: str
    """The class of ``mftkit.testing``."""
    key: str
    """Where a spec names it."""


KINDS = {
    kinds.LOSS.name: Template("Loss", "loss", "LossConformance", '"loss": {}'),
    kinds.BALANCER.name: Template("Balancer", "balancer", "BalancerConformance", '"balancer": {}'),
    kinds.TOKENIZATION_MODE.name: Template(
        "Mode", "mode", "TokenizationModeConformance", '"tokenization": {}'
    ),
    kinds.MODEL_ADAPTER.name: Template(
        "Adapter", "adapter", "ModelAdapterConformance", '"model": {{"adapter": {}, ...}}'
    ),
    kinds.DATA_GENERATOR.name: Template(
        "Generator", "generator", "DataGeneratorConformance", '"tasks": [{{"generator": {}, ...}}, ...]'
    ),
    kinds.TUNING.name: Template("Tuning", "tuning", "TuningConformance", '"tuning": {}'),
    kinds.TRACKER.name: Template("Tracker", "tracker", "TrackerConformance", '"trackers": [{}]'),
    kinds.DATA_FILTER.name: Template(
        "Filter", "filter", "DataFilterConformance", '"tasks": [{{"filters": [{}], ...}}, ...]'
    ),
    kinds.EXECUTOR.name: Template(
        "Executor", "executor", "ExecutorConformance", '"isolation": {} among the options of a filter'
    ),
    kinds.CHAT_MODEL.name: Template(
        "Model",
        "model",
        "ChatModelConformance",
        '"tasks": [{{"generator": {{"options": {{"model": {}, ...}}}}}}]',
    ),
    kinds.GRADIENT_COMBINER.name: Template(
        "Combiner", "combiner", "GradientCombinerConformance", '"gradients": {}'
    ),
}


@dataclass(frozen=True)
class NewPackage:
    """What was written."""

    directory: Path
    kind: str
    component: str
    module: str
    """File of the component, relative to ``directory``."""


def new_package(name: str, kind: str, directory: Path | None = None) -> NewPackage:
    """Write a package with one component of a kind, its entry point and its tests.

    Args:
        name: of the component, as specs give it.
        kind: by any of its spellings.
        directory: where the package is written; it must not exist. None: ``mft-NAME`` where we are.

    Raises:
        MftError: a name that is none or is taken, a kind without a template, a directory that exists or
            cannot be written.
    """
    from mftkit.plugins.installed import registry

    known = registry().kind(kind)
    template = _template(known)
    names = names_for(name, known, template.noun)
    refuse_taken(names, registry())
    target = Path(names.distribution) if directory is None else directory.expanduser()
    if target.exists() or target.is_symlink():
        raise MftError(f"{target} exists already: give --directory one that does not")
    _write(target, _rendered(known, names, template))
    return NewPackage(target, known.name, name, f"{names.package}/{template.module}.py")


def _template(kind: Kind) -> Template:
    if kind.name not in KINDS:
        known = ", ".join(f'"{name}"' for name in KINDS)
        raise MftError(f"--kind: there is no template of a {kind.name}; there are of: {known}")
    return KINDS[kind.name]


def _rendered(kind: Kind, names: Names, template: Template) -> dict[str, str]:
    """The files' texts, by path relative to the package's directory."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Python and TOML, of names that were checked
    )
    values = {**asdict(names), **asdict(template), "kind": kind.name, "hook": kind.hook}
    values["place"] = template.key.format(f'"{names.component}"')

    def render(path: str) -> str:
        return environment.get_template(f"{path}{SUFFIX}").render(values)

    own = kind.name
    return {
        "pyproject.toml": render("common/pyproject.toml"),
        "README.md": render("common/README.md"),
        ".gitignore": render("common/gitignore"),
        f"{names.package}/__init__.py": render(f"{own}/__init__.py"),
        f"{names.package}/py.typed": "",
        f"{names.package}/{template.module}.py": render(f"{own}/component.py"),
        f"tests/test_{names.package.removeprefix('mft_')}.py": render(f"{own}/test.py"),
    }


def _write(target: Path, files: dict[str, str]) -> None:
    """All files or none."""
    try:
        target.mkdir(parents=True)
        for path, text in files.items():
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise MftError(f"{target} cannot be written: {error.strerror or error}") from error
