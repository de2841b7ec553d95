"""A chat template that does not end, or needs all memory, is refused in seconds."""

from __future__ import annotations

import resource
import time

import pytest

from data_path import tokenizer
from mftkit.data.rows.faults import BadRow
from mftkit.data.text import bounded, template_program
from mftkit.data.text.template_program import USER, TemplateProgram
from mftkit_registry import MftError

LOOP = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
DOUBLING = "{% set ns = namespace(s='x' * 999) %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}"
DEEP = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"


def rendered(template: str) -> str:
    tok = tokenizer()
    tok.chat_template = template
    return TemplateProgram(tok).rendered([USER], ())


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (LOOP, "renders ends within 0.3 s"),
        (DOUBLING, "renders fits into the memory"),
        ("{{ 'x' * 10**11 }}", "renders fits into the memory"),
        ("{{ 'x' * 2000 }}", "renders 2,000 characters"),
    ],
)
def test_what_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch, template: str, said: str) -> None:
    seconds = 0.3 if template == LOOP else bounded.SECONDS
    monkeypatch.setattr(bounded, "SECONDS", seconds)
    monkeypatch.setattr(template_program, "SECONDS", seconds)
    monkeypatch.setattr(bounded, "MEMORY", 256 << 20)
    monkeypatch.setattr(template_program, "LONGEST", 1000)
    limits, started = resource.getrlimit(resource.RLIMIT_AS), time.monotonic()
    with pytest.raises(MftError, match=said):
        rendered(template)
    assert time.monotonic() - started < 5
    assert resource.getrlimit(resource.RLIMIT_AS) == limits
    time.sleep(0.1)  # nothing is raised later
    assert rendered("{{ messages[0].role }}") == "user"


@pytest.mark.parametrize("template", ["{% for i in range(10**9) %}{% endfor %}", DEEP])
def test_what_the_sandbox_stops_is_a_bad_row(template: str) -> None:
    with pytest.raises(BadRow, match="the chat template rejects this conversation"):
        rendered(template)
