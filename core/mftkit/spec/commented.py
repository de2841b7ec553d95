"""A spec as a person writes it: YAML with comments, or JSON, which has none."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from mftkit.base.formatting import one_line
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.representer import RoundTripRepresenter

    from mftkit.base.json_types import JsonObject

KeyPath = tuple[str | int, ...]
YAML_ENDINGS = (".yaml", ".yml")
_ENDINGS = (*YAML_ENDINGS, ".json")
_STEP = 2
"""Spaces per level of indentation; an element of a list is indented twice."""


@dataclass
class CommentedSpec:
    """The content of a spec file, in the order in which it is written, with comments."""

    content: JsonObject
    header: list[str] = field(default_factory=list)
    """Lines at the top of the file."""
    above: dict[KeyPath, list[str]] = field(default_factory=dict)
    """Lines above a key or an element of a list; an empty line stays empty."""
    beside: dict[KeyPath, str] = field(default_factory=dict)
    """The comment at the end of a key's line."""

    def text(self, path: Path) -> str:
        """Return the text of the file ``path``, by its ending. Raises MftError for another ending."""
        check_ending(path)
        return self.as_yaml() if path.suffix.lower() in YAML_ENDINGS else self.as_json()

    def as_json(self) -> str:
        """Return the content without the comments."""
        return json.dumps(self.content, indent=2, ensure_ascii=False) + "\n"

    def as_yaml(self) -> str:
        """Return the content with the comments, as YAML 1.2."""
        yaml = YAML()
        yaml.width = 1 << 20
        yaml.indent(mapping=_STEP, sequence=2 * _STEP, offset=_STEP)
        yaml.representer.add_representer(type(None), _null)
        yaml.representer.add_representer(float, _number)
        text = io.StringIO()
        yaml.dump(self._node(self.content, (), 0), text)
        header = "".join(f"# {one_line(line)}".rstrip() + "\n" for line in self.header)
        return f"{header}\n{text.getvalue()}" if header else text.getvalue()

    def _node(self, value: object, path: KeyPath, indent: int) -> object:
        if isinstance(value, dict) and value:
            node = CommentedMap()
            for key, child in value.items():
                node[key] = self._node(child, (*path, key), indent + _STEP)
                self._comment(node, key, (*path, key), indent)
            return node
        if isinstance(value, list) and any(isinstance(child, dict | list) for child in value):
            elements = CommentedSeq()
            for index, child in enumerate(value):
                elements.append(self._node(child, (*path, index), indent + _STEP))
                self._comment(elements, index, (*path, index), indent)
            return elements
        if isinstance(value, list):
            row = CommentedSeq(value)
            row.fa.set_flow_style()
            return row
        return value

    def _comment(self, node: CommentedMap | CommentedSeq, key: str | int, path: KeyPath, indent: int) -> None:
        if lines := self.above.get(path):
            text = "\n".join(one_line(line) for line in lines)
            node.yaml_set_comment_before_after_key(key, before=text, indent=indent)
        if beside := self.beside.get(path):
            node.yaml_add_eol_comment(one_line(beside), key, column=0)


def check_ending(path: Path) -> None:
    """Raise MftError for a file that is neither YAML nor JSON by its ending."""
    if path.suffix.lower() not in _ENDINGS:
        raise MftError(f"{path}: a spec file ends with {', '.join(_ENDINGS)}; give the file such a name")


def _null(representer: RoundTripRepresenter, _value: None) -> ScalarNode:
    """Write null as a word: an empty value would look forgotten."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _number(representer: RoundTripRepresenter, value: float) -> ScalarNode:
    """Write a number with a point, without which YAML 1.1 would read 1e-05 as a string."""
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return representer.represent_scalar("tag:yaml.org,2002:float", text)
