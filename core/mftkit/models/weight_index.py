"""The index of a checkpoint in several files, which may name files beside it alone."""

from __future__ import annotations

from pathlib import Path, PurePath

from mftkit.base.json_files import read_json_object
from mftkit_registry import MftError


def shards_of(index: Path) -> list[str]:
    """Return the names of the weight files that an index names, sorted.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no index, or names a file outside of its directory.
    """
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ValueError("it has no weight_map")
    names = list(weight_map.values())
    for name in names:
        if (
            not isinstance(name, str)
            or not name
            or not name.isprintable()
            or PurePath(name).is_absolute()
            or ".." in PurePath(name).parts
        ):
            raise ValueError(f"weight_map names {name!r}, which is no file of this directory")
        if (index.parent / name).is_dir():
            raise ValueError(f"weight_map names {name!r}, which is a directory")
    return sorted(set(names))


def check_indexes(path: str | None) -> None:
    """Raise MftError for an index in a local checkpoint that names something else than files of the checkpoint."""
    if path is None or not Path(path).is_dir():
        return
    for index in sorted(Path(path).glob("*.index.json")):
        try:
            shards_of(index)
        except OSError:
            continue  # reported where it is read
        except ValueError as error:
            if "weight_map names" in str(error):
                raise MftError(f"model.path: {index}: {error}; download the checkpoint again") from error
