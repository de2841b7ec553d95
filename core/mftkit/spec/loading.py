"""Loads a spec from a file or a dict, with overrides; all errors are reported at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mftkit.plugins import installed
from mftkit.spec.local_plugins import own_plugins
from mftkit.spec.overrides import apply_overrides
from mftkit.spec.problems import SpecError, problems_of
from mftkit.spec.reading import read_json
from mftkit.spec.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def load_spec(
    source: str | Path | Mapping[str, object],
    overrides: Iterable[str] = (),
    *,
    directory: str | Path | None = None,
    plugins: Sequence[object] = (),
) -> Spec:
    """Load a spec from a file, or from a dict whose paths are relative to ``directory`` (default: the current one).

    Args:
        source: the file, or the dict.
        overrides: ``a.b=value``, as for ``--set``.
        directory: where relative paths of a dict begin.
        plugins: added to those that the spec names: files, modules, classes of components, functions and objects with
            hooks; see ``mftkit.plugins.local.load_plugins``.

    Raises:
        SpecError: its content is not a valid spec; the message lists all errors.
        MftError: the file cannot be read.
    """
    context: dict[str, object] = {"directory": Path(directory or ".").absolute()}
    if isinstance(source, str | Path):
        path = Path(source)
        data = read_json(path)
        context = {"directory": path.absolute().parent, "name": path.stem}
        where = str(path)
    else:
        data, where = dict(source), "spec"
    data = apply_overrides(data, overrides)
    with own_plugins(data, context, plugins) as data:
        try:
            spec = Spec.model_validate(data, context=context)
        except ValidationError as error:
            raise SpecError(where, problems_of(error, data, Spec)) from None
    installed.select_plugins(spec.plugins)
    return spec
