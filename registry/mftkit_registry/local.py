"""Plugins that are in no installed package: files and directories, and objects given in Python."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from mftkit_registry.errors import MftError
from mftkit_registry.records import describe

PREFIX = "mftkit_file_"
"""Begins the name under which a file is imported."""
IN_PYTHON = "python:"
"""Begins the name of a plugin that was given as an object and has no file."""
INIT = "__init__.py"


@dataclass(frozen=True)
class LocalPlugin:
    """A plugin outside of any installed package. Equal ones have the same source and the same content."""

    name: str
    """The path, or "python:MODULE.NAME" for an object that has no file."""
    sha256: str | None
    """Of the file, or of all files in the directory; None if an object has no source."""
    source: object = field(default=None, compare=False, repr=False)
    """The object that has the hooks; None for a file that is still to be imported."""
    identity: int = 0
    """Tells objects with the same name apart."""

    @property
    def version(self) -> str:
        """Stands for the version, in lists and messages: the beginning of the hash."""
        return (self.sha256 or "")[:12]

    @property
    def is_file(self) -> bool:
        """Whether it can be loaded again by its name, in another process too."""
        return not self.name.startswith(IN_PYTHON)

    @property
    def module_name(self) -> str | None:
        """The name under which its module is imported; None for an object that is no module."""
        if isinstance(self.source, ModuleType):
            return self.source.__name__
        if self.source is not None:
            return None
        stem = re.sub(r"\W", "_", Path(self.name).stem)
        return f"{PREFIX}{stem}_{_digest(f'{self.name}:{self.sha256}'.encode())[:12]}"

    @classmethod
    def of_file(cls, path: Path) -> LocalPlugin:
        """The plugin at an absolute path: a Python file, or a directory with ``__init__.py``.

        Raises:
            MftError: there is none, or it cannot be read.
        """
        if not path.exists():
            raise MftError(f"{path}: no such file")
        if path.is_dir() and not (path / INIT).is_file():
            raise MftError(f"{path}: is a directory without {INIT}; name a Python file, or add {INIT}")
        if not path.is_dir() and path.suffix != ".py":
            raise MftError(f"{path}: is not a Python file (.py)")
        try:
            return cls(str(path), _content_digest(path))
        except OSError as error:
            raise MftError(f"{path}: cannot be read: {error.strerror or error}") from error

    @classmethod
    def of_object(cls, given: object, name: str) -> LocalPlugin:
        """The plugin that an object is: a module, or anything whose attributes are marked as hooks.

        Args:
            given: the object.
            name: its own name, as "MODULE.NAME"; a module that has a file is named after the file.
        """
        file = getattr(given, "__file__", None) if isinstance(given, ModuleType) else None
        if file is not None and Path(file).suffix == ".py":
            path = Path(file).absolute()
            path = path.parent if path.name == INIT else path
            return cls(str(path), _content_digest(path), given, id(given))
        try:
            source = inspect.getsource(given)  # type: ignore[arg-type]  # what it cannot take, it refuses
        except (OSError, TypeError):
            return cls(f"{IN_PYTHON}{name}", None, given, id(given))
        return cls(f"{IN_PYTHON}{name}", _digest(source.encode()), given, id(given))

    def load(self) -> object:
        """The object that has the hooks. Raises whatever the import of a file raises."""
        if self.source is not None:
            return self.source
        name = str(self.module_name)
        if name in sys.modules:  # the same content, imported before
            return sys.modules[name]
        path = Path(self.name)
        file, places = (path / INIT, [str(path)]) if path.is_dir() else (path, None)
        loader = _FreshLoader(name, str(file))
        spec = importlib.util.spec_from_file_location(
            name, file, loader=loader, submodule_search_locations=places
        )
        assert spec is not None, "a loader is given"
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # under its own name: two files may share theirs, and pickle looks it up
        try:
            loader.exec_module(module)
        except BaseException:
            for imported in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
                del sys.modules[imported]
            raise
        return module

    def own_target(self, target: object) -> object:
        """An import string as a package would write it, with the name under which this file is imported.

        ``"my_loss:MyLoss"`` in ``my_loss.py`` means the file itself.
        """
        if not isinstance(target, str) or self.source is not None:
            return target
        outermost, separator, rest = re.match(r"(\w*)([.:]?)(.*)", target, re.DOTALL).groups()  # type: ignore[union-attr]
        return f"{self.module_name}{separator}{rest}" if outermost == Path(self.name).stem else target

    def located(self, error: BaseException, function: object = None) -> str:
        """An error in one line, with the file and the line where it was raised.

        ``function`` is where the error is if none of the file's own code raised it.
        """
        if isinstance(error, SyntaxError) and error.filename is not None:
            return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if self.owns(frame.filename)]
        text = describe(error) if not isinstance(error, MftError) else str(error)
        if frames:
            return f"{frames[-1].filename}:{frames[-1].lineno}: {text}{self._hint(error)}"
        code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
        where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else self.name
        return f"{where}: {text}"

    def owns(self, filename: str) -> bool:
        """Whether a source file is this plugin's."""
        return filename == self.name or filename.startswith(self.name + os.sep)

    def _hint(self, error: BaseException) -> str:
        """How to import what lies beside the file."""
        missing = getattr(error, "name", None)
        if not isinstance(error, ModuleNotFoundError) or not isinstance(missing, str):
            return ""
        beside = Path(self.name).parent / missing.partition(".")[0]
        if not (beside.with_suffix(".py").exists() or beside.is_dir()):
            return ""
        return (
            f"; {beside.name} lies beside the file: make a directory with {INIT} of both, name the directory in "
            f'"plugins", and write "from .{missing} import ..."'
        )


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source each time: a cached one may be of another content with the same size and second."""

    def path_stats(self, path: str) -> dict[str, float]:
        """No times, so no cache is read or written."""
        raise OSError(path)


def _content_digest(path: Path) -> str:
    if path.is_file():
        return _digest(path.read_bytes())
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        if file.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in inside.parts):
            total.update(f"{inside.as_posix()}\0{_digest(file.read_bytes())}\n".encode())
    return total.hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
