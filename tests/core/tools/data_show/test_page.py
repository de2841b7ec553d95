"""The page in a real browser: the same tokens as in the terminal, at any width, in light and dark."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import browser
from data_path import CHATML, tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fixture_types import Mft

pytestmark = pytest.mark.skipif(browser.found() is None, reason="no Chromium on this machine")

ROWS = [
    {"prompt": "Add.\tNow  \nplease <b>&amp;</b> <|im_end|>", "answer": "def add(a, b):\n    return a + b" + " + 1" * 60},
    {"prompt": "Print é😀.", "answer": "print(i)<script>document.title = 'run'</script>"},
]  # fmt: skip
SEEN = """
const style = (node) => getComputedStyle(node);
const tokens = (box) => [...box.querySelectorAll('.t')].map((node) => ({
  text: node.textContent, title: node.title, loss: node.classList.contains('loss'), added: node.classList.contains('added'),
  background: style(node).backgroundColor, underline: style(node).borderBottomWidth,
}));
return {
  title: document.title,
  page: document.documentElement.scrollWidth - innerWidth,
  wide: [...document.querySelectorAll('.tokens.sample, .tokens.packed, .about dd')].filter((node) => node.scrollWidth > node.clientWidth + 1).length,
  samples: [...document.querySelectorAll('.tokens.sample')].map(tokens),
  shown: document.querySelector('.tokens.sample').innerText,
  cut: [...document.querySelectorAll('.scissors')].map((node) => node.textContent),
  borders: [...document.querySelectorAll('.border')].map((node) => node.textContent),
  bar: [...document.querySelectorAll('.row span')].map((node) => node.getBoundingClientRect().width),
  row: document.querySelector('.row')?.clientWidth,
  notices: [...document.querySelectorAll('.task .notice')].map((node) => node.textContent),
  background: style(document.body).backgroundColor,
  ink: style(document.body).color,
  fetched: performance.getEntriesByType('resource').length,
};
"""


@pytest.fixture
def page(mft: Mft, write_spec: Callable[..., Path], tmp_path: Path) -> Path:
    write_spec(
        {"chat": ROWS, "code": ([{"text": "x = 1\n", "url": "u"}] * 3, {"format": "text"})}, max_length=200
    )
    done = mft("data", "show", "spec.json", "--html", "page.html")
    assert (done.returncode, done.stdout) == (0, "page.html\n"), done.stderr
    assert "keys not used: url (3 rows)" in done.stderr
    return tmp_path / "page.html"


def test_the_page_has_the_tokens_that_the_command_shows(mft: Mft, page: Path) -> None:
    seen = browser.read_back(page, SEEN)
    view = json.loads(mft("data", "show", "spec.json", "--json").stdout)
    samples = [sample for task in view["tasks"] for sample in task["samples"]]
    assert len(seen["samples"]) == len(samples) == 4
    for drawn, sample in zip(seen["samples"], samples, strict=True):
        assert [token["loss"] for token in drawn] == [token["in_loss"] for token in sample["tokens"]]
        assert [token["added"] for token in drawn] == [token["added"] for token in sample["tokens"]]
        for token, given in zip(drawn, sample["tokens"], strict=True):
            assert token["title"].startswith(" ".join(map(str, given["ids"])) + " ")
    plain = tokenizer(CHATML).decode([number for token in samples[1]["tokens"] for number in token["ids"]])
    assert "".join(token["text"].replace("⏎\n", "\n") for token in seen["samples"][1]) == plain
    assert seen["title"] == "shown: what the model reads"  # the script in a row is text
    assert "Add.⇥Now␣␣⏎\nplease <b>&amp;</b> \\<|im_end|><|im_end|>⏎" in seen["shown"]
    assert "keys not used: url (3 rows)" in seen["notices"]
    assert seen["fetched"] == 0


def test_the_loss_is_marked_by_more_than_a_color(page: Path) -> None:
    tokens = [token for sample in browser.read_back(page, SEEN)["samples"] for token in sample]
    for loss, width in ((True, "2px"), (False, "0px")):
        assert {token["underline"] for token in tokens if token["loss"] is loss} == {width}
    backgrounds = [
        {token["background"] for token in tokens if token["loss"] is loss} for loss in (True, False)
    ]
    assert not backgrounds[0] & backgrounds[1]


def test_the_cut_and_the_borders_of_a_packed_row_are_shown(mft: Mft, page: Path) -> None:
    seen = browser.read_back(page, SEEN)
    view = json.loads(mft("data", "show", "spec.json", "--json").stdout)
    cut = view["tasks"][0]["samples"][0]["cut"]
    assert seen["cut"] == [f"✂ cut here: {cut} tokens beyond max_length 200"]
    assert cut > 0
    members = view["packed"]["samples"]
    assert len(seen["borders"]) == len(members) > 1
    for text, member in zip(seen["borders"], members, strict=True):
        assert f"{member['place'].rpartition('/')[2]}: " in text
        assert f"positions 0 to {member['length'] - 1}" in text
    for width, member in zip(seen["bar"], members, strict=True):
        assert abs(width - seen["row"] * member["length"] / 200) < 2


@pytest.mark.parametrize("width", [390, 1300])
def test_it_fits_a_phone_and_a_desk(page: Path, width: int) -> None:
    seen = browser.read_back(page, SEEN, f"--window-size={width},900")
    assert seen["page"] <= 0
    assert seen["wide"] == 0


def test_dark_mode(page: Path) -> None:
    light = browser.read_back(page, SEEN, "--blink-settings=preferredColorScheme=1")
    dark = browser.read_back(page, SEEN, "--blink-settings=preferredColorScheme=0")
    assert (light["background"], dark["background"]) == ("rgb(246, 247, 249)", "rgb(18, 22, 29)")
    assert light["ink"] != dark["ink"]
    loss = [
        next(token["background"] for token in seen["samples"][0] if token["loss"]) for seen in (light, dark)
    ]
    assert loss[0] != loss[1]
