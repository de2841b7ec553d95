"""YAML means what JSON means: what YAML's versions read differently is text or refused."""

from __future__ import annotations

import json

import pytest

from mftkit.spec.json_text import RefusedTextError, parse_json_lines
from mftkit.spec.yaml_text import parse_yaml_lines


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("2.5E+3", 2500.0),
        (".5", 0.5),
        ("12", 12),
        ("0x1f", 31),
        ("0o17", 15),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("NaN", "NaN"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1e-5'", "1e-5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!float 1.0", 1.0),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    read, _ = parse_yaml_lines(f"a: {text}")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, 'the key "a" is given twice'),
        ("a:\n\tb: 1", 2, "not with tabs"),
        ("a: 1\nb: 012", 2, "012 is an octal number to some"),
        ("a: 1\n---\nb: 2", 2, "a second document"),
        ("%YAML 1.1\n---\na: 1", 2, "remove the line %YAML 1.1"),
        ("\na: -.inf", 2, "-.inf is not a finite number"),
        ("a: .nan", 1, ".nan is not a finite number"),
        ("a: 1e999", 1, "too large"),
        ("a: 1" + "0" * 5000, 1, "too long"),
        ("a: !!python/object/apply:os.getcwd []", 1, "the tag !!python/object/apply:os.getcwd is not allowed"),
        ("a: !!int x", 1, "the tag !!int"),
        ("a: *b", 1, "has no anchor &b"),
        ("a: &a\n - *a", 2, "is inside what it stands for"),
        ("<<: 1", 1, "<< takes an object"),
        ("? [a]\n: 1", 1, "a key must be text"),
        ("a: b: c", 1, "not valid YAML: mapping values are not allowed here (column 5)"),
        ("a: [1,", 1, "not valid YAML"),
        ("a: \x00", None, "not valid YAML: unacceptable character"),
        ("a: " + "[" * 700, None, "is nested too deeply"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{n}: &{n} [{', '.join([f'*{last}'] * 10)}]\n" for last, n in zip("abcdef", "bcdefg", strict=True)
        ), None, "too many values"),
    ],
)  # fmt: skip
def test_refused(text: str, line: int | None, message: str) -> None:
    with pytest.raises(RefusedTextError) as caught:
        parse_yaml_lines(text)
    assert message in str(caught.value)
    assert caught.value.line == line


def test_anchors_and_merge_keys_are_replaced() -> None:
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: [*a, {y: 3, z: 4}]\n  x: 5\nc: *a\n"
    value, lines = parse_yaml_lines(text)
    assert value == {"a": {"x": 1, "y": 2}, "b": {"x": 5, "y": 2, "z": 4}, "c": {"x": 1, "y": 2}}
    assert (lines["b", "x"], lines["b", "y"], lines["b", "z"], lines["c",], lines["c", "x"]) == (
        4,
        1,
        3,
        5,
        1,
    )


def test_lines_of_json_and_of_the_same_as_yaml_are_equal() -> None:
    text = '{"a": 1,\n "b": [{"c":\n 2, "d\\"e": [[], {}]},\n [true, null,\n "x"]],\n\n "f": {}}'
    value, lines = parse_json_lines(text)
    assert value == json.loads(text)
    assert parse_yaml_lines(text) == (value, lines)
    assert lines[()] == 1
    assert lines["b", 0, 'd"e'] == 3
    assert lines["b", 1, 2] == 5
    assert lines["f",] == 7
