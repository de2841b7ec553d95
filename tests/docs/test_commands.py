"""Every ``mft`` command in the documents is one that the command line takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from documents import PAGES, SHELLS, blocks, commands, mft_commands, parse

NAMED_ALONE = ("--seeds",)
"""Options with a value that the text names without one."""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_its_commands_exist_with_their_options(page: Path) -> None:
    for words in mft_commands(page):
        whole = [*words, "VALUE"] if words[-1] in NAMED_ALONE else words
        try:
            parse(whole)
        except Exception as error:
            raise AssertionError(f"{page.name}: mft {' '.join(words)}: {error}") from error


@pytest.mark.parametrize(
    "words", [["trian"], ["run", "spec.json", "--freshly"], ["run", "a", "b"], ["spec", "chekc", "x"]]
)
def test_a_wrong_command_would_be_noticed(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"trian|freshly|takes: b|chekc"):
        parse(words)


def test_the_pages_have_commands() -> None:
    assert sum(len(list(mft_commands(page))) for page in PAGES) > 60
    assert all(commands(block) for page in PAGES for block in blocks(page) if block.language in SHELLS)
