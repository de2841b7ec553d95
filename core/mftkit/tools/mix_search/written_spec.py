"""Writes a spec with the proportions that were found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_text
from mftkit.spec.reading import is_yaml
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.spec import Spec
    from mftkit.tools.mix_search.result import SearchResult


def check_target(target: Path) -> None:
    """Raise MftError for a file that is there, or that would be YAML."""
    if target.exists():
        raise MftError(f"--write: {target} exists; choose another file, or remove it")
    if is_yaml(target):
        raise MftError(f"--write {target}: the spec is written as JSON; give a name that ends in .json")


def write_spec(base: Spec, result: SearchResult, target: Path) -> None:
    """Write ``base`` with the best proportions, all defaults filled in and all paths absolute.

    Its output is beside that of ``base``, with "-mixed" after its name: it is another run.
    """
    spec = base.dump() | {"mixing": result.mixing}
    spec["output"] = str(base.output.with_name(f"{base.output.name}-mixed"))
    write_text(target, json.dumps(spec, indent=2, ensure_ascii=False) + "\n")
