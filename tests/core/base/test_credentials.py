"""Secrets are hidden in each form in which a text may have them."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from mftkit.base import credentials
from mftkit.base.credentials import keep_secret, without_known_secrets, without_secrets
from mftkit.base.formatting import escaped, escaped_json, one_line, shortened
from mftkit.base.reasons import reason, whole_reason

SECRET = "sk-an/odd+key_\"with'<all>&=é=="


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_known", set())
    keep_secret(SECRET)


FORMS = {
    "itself": SECRET,
    "in a URL": quote(SECRET, safe=""),
    "in a URL, in small letters": quote(SECRET, safe="").lower(),
    "in a URL in a URL": quote(quote(SECRET, safe=""), safe=""),
    "in JSON": json.dumps(SECRET)[1:-1],
    "in JSON as UTF-8": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "in JSON in JSON": json.dumps(json.dumps(SECRET))[3:-3],
    "as Python prints it": repr(SECRET)[1:-1],
    "as Python prints bytes": repr(SECRET.encode())[2:-1],
    "in HTML": html.escape(SECRET),
    "in two lines": f"{SECRET[:9]}\n    {SECRET[9:]}",
    "in two lines in JSON": f"{SECRET[:9]}\\n{SECRET[9:]}",
    "cut": SECRET[:15],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_hidden_in_each_form(form: str) -> None:
    shown = without_secrets(f"before {FORMS[form]} after")
    assert shown == "before [key] after"
    assert without_known_secrets(f"before {FORMS[form]} after") == shown


@pytest.mark.parametrize("before", ["", "me:", "a:", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_known_secret_is_hidden_in_base64(before: str, encode: object) -> None:
    assert callable(encode)
    text = encode((before + SECRET + "\n").encode()).decode()
    assert without_secrets(f"Proxy said {text}.") == "Proxy said [key]."


def test_it_is_hidden_before_a_text_is_cut() -> None:
    for place in range(360, 400):
        error = ValueError("x" * place + SECRET + "y" * 90)
        for text in (reason(error), whole_reason(error), shortened(str(error), 400)):
            assert "sk-" not in text
            assert len(text) <= 400


def test_lines_and_json_are_free_of_it() -> None:
    assert one_line(f"a {SECRET[:9]}\n{SECRET[9:]}") == "a [key]"
    assert escaped(f"a {SECRET[:9]}\n{SECRET[9:]}") == "a [key]"
    assert json.loads(escaped_json(json.dumps({"a": SECRET}, ensure_ascii=False))) == {"a": "[key]"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:word@host/v1", "https://(hidden)@host/v1"),
        ("https://token@host/v1", "https://(hidden)@host/v1"),
        ("https://me:wo/r#d?@host/v1", "https://(hidden)@host/v1"),
        ("https://host/v1?api_key=abc&n=1", "https://host/v1?api_key=(hidden)&n=1"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': '(hidden)'}"),
        ('{"x-api-key": "abc"}', '{"x-api-key": "(hidden)"}'),
        ("a token hf_abcdefghijkl", "a token (hidden)"),
        ("sk-proj-abcdefgh", "(hidden)"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:8000/v1/a@b",
        "pip install hf_transfer",
        "a task-focal loss",
        "me@host",
        "a: b @ c",
        "eos_token=1",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_variables_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcdefgh12")
    monkeypatch.setenv("SOME_TOKEN", "validation")  # a word of many messages
    monkeypatch.setenv("SOME_PATH", "abcdefgh34")
    assert without_secrets("abcdefgh12 validation abcdefgh34") == "[key] validation abcdefgh34"


def test_words_that_are_given_as_keys_stay() -> None:
    for word in ("none", "EMPTY", "local"):
        keep_secret(word)
    keep_secret("a-1b")
    text = "none EMPTY local"
    assert without_secrets(f"{text} a-1b") == f"{text} [key]"
    assert without_known_secrets(f"{text} a-1b") == f"{text} a-1b"
