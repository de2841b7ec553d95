"""Loads a spec from a file or a dict, with overrides; all errors are reported at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mftkit.plugins import installed
from mftkit.spec.local_plugins import own_plugins, without_consequences
from mftkit.spec.overrides import apply_overrides, overridden
from mftkit.spec.own_directory import at_home, spec_file
from mftkit.spec.passwords import password_problems
from mftkit.spec.positions import Positions
from mftkit.spec.problems import SpecError, problems_of
from mftkit.spec.reading import read_spec_file
from mftkit.spec.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mftkit.base.json_types import JsonObject


@dataclass(frozen=True)
class SpecSource:
    """A spec as it was written, with its overrides."""

    data: JsonObject
    positions: Positions
    context: Mapping[str, object]
    """The directory to which paths are relative, and the name of a spec that has none."""

    def validated(self, plugins: Sequence[object] = ()) -> Spec:
        """The spec, with ``plugins`` added to those that it names, and in use from now on.

        Raises SpecError, which lists all errors with their lines.
        """
        if problems := list(password_problems(self.data)):
            raise SpecError(self.positions, problems)
        context = dict(self.context)
        with own_plugins(self.data, context, plugins) as complete:
            try:
                spec = Spec.model_validate(complete, context=context)
            except ValidationError as error:
                problems = without_consequences(problems_of(error, complete, Spec))
                raise SpecError(self.positions, problems) from None
        installed.select_plugins(spec.plugins)
        return spec


def load_spec(
    source: str | Path | Mapping[str, object],
    overrides: Iterable[str] = (),
    *,
    directory: str | Path | None = None,
    plugins: Sequence[object] = (),
) -> Spec:
    """Load a spec from a file, from a run directory, or from a dict.

    Args:
        source: the file, YAML if its name ends in .yaml or .yml, otherwise JSON; the run directory; or the dict.
        overrides: ``a.b=value``, as for ``--set``.
        directory: where relative paths of a dict begin; None: the current one.
        plugins: added to those that the spec names: files, modules, classes of components, functions and objects with
            hooks; see ``mftkit.plugins.local.load_plugins``.

    Raises:
        SpecError: its content is not a valid spec; the message lists all errors with their lines.
        MftError: the file cannot be read.
    """
    return read_source(source, overrides, directory=directory).validated(plugins)


def read_source(
    source: str | Path | Mapping[str, object],
    overrides: Iterable[str] = (),
    *,
    directory: str | Path | None = None,
) -> SpecSource:
    """Read a spec without checking its content; arguments and errors as those of ``load_spec``."""
    context: dict[str, object] = {"directory": Path(directory or ".").absolute()}
    if isinstance(source, str | Path):
        path = spec_file(Path(source))
        data, positions = read_spec_file(path)
        data = at_home(data, path)
        context = {"directory": path.absolute().parent, "name": path.stem}
    else:
        data, positions = dict(source), Positions("spec")
    overrides = tuple(overrides)
    data = apply_overrides(data, overrides)
    return SpecSource(data, replace(positions, overridden=overridden(overrides)), context)
