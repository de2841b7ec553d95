"""Copies of Python code: laid out anew, named anew, without docstrings."""

from __future__ import annotations

import ast
import builtins
import re


def respaced(code: str) -> str:
    """Other indentation, no space after commas, no empty lines."""
    return code.replace("    ", "  ").replace(", ", ",").replace(" = ", "=").replace("\n\n", "\n")


def renamed(prompt: str, solution: str) -> tuple[str, str]:
    """Every function, argument and variable under another name, in the docstring too."""
    names = set()
    for node in ast.walk(ast.parse(prompt + solution)):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    for number, name in enumerate(sorted(names - set(dir(builtins)))):
        prompt, solution = (re.sub(rf"\b{name}\b", f"item_{number}x", text) for text in (prompt, solution))
    return prompt, solution


def without_docstrings(code: str) -> str:
    """The code as ``ast`` writes it, docstrings taken out."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
