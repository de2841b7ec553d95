"""Loads a spec from a file or a dict, with overrides; all errors are reported at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mftkit.spec.overrides import apply_overrides, overridden
from mftkit.spec.own_directory import at_home, spec_file
from mftkit.spec.positions import Positions
from mftkit.spec.problems import SpecError, problems_of
from mftkit.spec.reading import read_spec_file
from mftkit.spec.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mftkit.base.json_types import JsonObject


@dataclass(frozen=True)
class SpecSource:
    """A spec as it was written, with its overrides."""

    data: JsonObject
    positions: Positions
    context: Mapping[str, object]
    """The directory to which paths are relative, and the name of a spec that has none."""

    def validated(self) -> Spec:
        """The spec. Raises SpecError, which lists all errors with their lines."""
        try:
            return Spec.model_validate(self.data, context=dict(self.context))
        except ValidationError as error:
            raise SpecError(self.positions, problems_of(error, self.data, Spec)) from None


def load_spec(
    source: str | Path | Mapping[str, object],
    overrides: Iterable[str] = (),
    *,
    directory: str | Path | None = None,
) -> Spec:
    """Load a spec from a file, from a run directory, or from a dict.

    Paths in a dict are relative to ``directory`` (default: the current one). A file is YAML if its name ends in .yaml
    or .yml, otherwise JSON. ``overrides`` are ``a.b=value``, as for ``--set``. Raises MftError if the file cannot be
    read, and SpecError, which lists all errors with their lines, if its content is not a valid spec.
    """
    return read_source(source, overrides, directory=directory).validated()


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
