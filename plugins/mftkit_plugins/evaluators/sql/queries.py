"""Texts of queries: those of answers, their canonical form, and whether they order their rows."""

from __future__ import annotations

import re

import mftkit

_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)"  # comments
    r"|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*(?:\]|\Z)"  # literals and quoted names
    r"|\w+(?:\.\w+)*|<=|>=|<>|!=|==|\|\||\S",
    re.DOTALL,
)
_QUOTES = ("'", '"', "`", "[")


def query_of(answer: str) -> str:
    """Return the query of an answer: its fenced code, else all of it; without a semicolon at its end."""
    code = mftkit.answer_code(answer, "sql", "sqlite", "sqlite3")
    text = mftkit.split_reasoning(answer).answer if code is None else code
    return text.strip().rstrip("; \t\n")


def tokens(query: str) -> list[str]:
    """Return the tokens of a query in small letters, but for literals and quoted names; without comments."""
    found = [token for token in _TOKEN.findall(query) if not token.startswith(("--", "/*"))]
    return [token if token.startswith(_QUOTES) else token.lower() for token in found]


def normalised(query: str) -> str:
    """Return a query in one layout: white space, case outside of literals and the last semicolon do not count."""
    return " ".join(tokens(query.strip().rstrip("; \t\n")))


def is_ordered(query: str) -> bool:
    """Whether a query has ORDER BY outside of all parentheses: then the order of its rows counts."""
    depth, before = 0, ""
    for token in tokens(query):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0 and (before, token) == ("order", "by"):
            return True
        before = token
    return False
