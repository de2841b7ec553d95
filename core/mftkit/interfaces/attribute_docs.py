"""Shows the docstrings of class attributes and fields in ``help()``, which leaves them out.

A class's ``__doc__`` gets a section "Attributes". It is made from the source when it is asked for, so that importing an
interface costs nothing.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T", bound=type)


class AttributeDocs:
    """Stands for the ``__doc__`` of a class: its docstring, and a section for its documented attributes."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __get__(self, instance: object, owner: type) -> str | None:
        return with_attributes(owner, self.text)


def documented(cls: T) -> T:
    """Decorate a class so that ``help()`` shows the docstrings of its attributes."""
    cls.__doc__ = AttributeDocs(vars(cls).get("__doc__"))  # type: ignore[assignment]
    return cls


def with_attributes(cls: type, text: str | None) -> str | None:
    """A docstring, with a section for the documented attributes of ``cls``."""
    sections = [
        f"{declaration}\n{textwrap.indent(below, '    ')}" for declaration, below in attribute_docs(cls)
    ]
    if not sections:
        return text
    section = "Attributes:\n" + textwrap.indent("\n".join(sections), "    ")
    return f"{inspect.cleandoc(text)}\n\n{section}" if text else section


def attribute_docs(cls: type) -> Iterator[tuple[str, str]]:
    """Declaration and text of each documented attribute, or of the fields of a Pydantic model."""
    if issubclass(cls, BaseModel):
        yield from _field_docs(cls)
        return
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):  # a class made in a console, or from a string
        return
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)).body
    for declaration, below in pairwise(body):
        if not isinstance(declaration, ast.AnnAssign | ast.Assign) or not isinstance(below, ast.Expr):
            continue
        if isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            yield ast.unparse(declaration), inspect.cleandoc(below.value.value)


def _field_docs(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if field.description:
            default = "..." if field.default_factory else repr(field.default)
            value = "" if field.is_required() else f" = {default}"
            yield (
                f"{name}: {inspect.formatannotation(field.annotation)}{value}",
                inspect.cleandoc(field.description),
            )
