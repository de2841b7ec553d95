from __future__ import annotations

import json

import pytest

from mftkit.tools.model_card.private import public_spec, public_text

SECRETS = {
    "path": "/home/somebody/models/base",
    "api_key": "abc123",
    "HF_TOKEN": "xyz",
    "uri": "https://somebody:word@host.example/v1",
    "note": "see /home/somebody/private/notes.txt and ~/other/file or hf_abcdefghijkl",
    "token_weight": "linear",
    "max_tokens": 12,
}


def test_nothing_private_is_left() -> None:
    spec = {
        "name": "x",
        "output": "/home/somebody/runs/x",
        "trackers": [{"name": "t", "options": {"key": "k"}}],
        "data": {"cache": "/home/somebody/cache", "seed": 3},
        "tasks": [{"name": "a", "train": ["/home/somebody/data/*.jsonl"], "generator": {"options": SECRETS}}],
    }
    public = public_spec(spec)
    text = json.dumps(public)
    for private in ("somebody", "abc123", "xyz", "word@", "hf_abc", "~/"):
        assert private not in text
    options = public["tasks"][0]["generator"]["options"]
    assert options["path"] == "base"
    assert options["token_weight"] == "linear"
    assert options["max_tokens"] == 12
    assert public["tasks"][0]["train"] == ["*.jsonl"]
    assert public["data"] == {"seed": 3}
    assert spec["output"] == "/home/somebody/runs/x"


@pytest.mark.parametrize(
    "text",
    [
        "org/name",
        "a/b/c",
        "1/2",
        "x = a / b",
        "<s>human\n",
        "</s>",
        "https://host.example/a/b",
        "/no_think",
        "and/or",
    ],
)
def test_what_is_no_path_stays(text: str) -> None:
    assert public_text(text) == text


def test_a_path_of_windows_is_private_too() -> None:
    assert public_text("C:\\Users\\somebody\\data\\rows.jsonl") == "rows.jsonl"
