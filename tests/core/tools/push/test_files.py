"""What goes to the hub: nothing from outside of the result, and what is left out is reported."""

from pathlib import Path

import pytest

from mftkit.reporting.reporter import Reporter
from mftkit.tools.push.files import files_to_push, public_config
from mftkit_registry import MftError
from recorder import Recorder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    result = tmp_path / "model"
    result.mkdir()
    (result / "model.safetensors").write_bytes(b"weights")
    (result / "config.json").write_text("{}")
    return result


def test_a_link_out_of_the_result_is_refused(place: Path) -> None:
    (place / "same.json").symlink_to(place / "config.json")
    assert len(files_to_push(place, Reporter())) == 3
    (place.parent / "private.txt").write_text("secret")
    (place / "notes.txt").symlink_to(place.parent / "private.txt")
    with pytest.raises(
        MftError, match=r"^RUN: .*notes\.txt is a link to .*private\.txt, outside of the result"
    ):
        files_to_push(place, Reporter())


def test_odd_names_and_broken_links_are_left_out_and_reported(place: Path) -> None:
    (place / "a\x1b[31m\n.txt").write_text("")
    (place / "gone.json").symlink_to(place / "nothing")
    reporter = Recorder()
    names = [path.name for path in files_to_push(place, reporter)]
    assert names == ["config.json", "model.safetensors"]
    [warning] = reporter.warnings
    assert warning.startswith("not pushed, because they are no part of a model: a")
    assert warning.endswith("gone.json")
    assert "\x1b" not in warning


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff"])
def test_a_config_that_cannot_be_read_is_named(place: Path, content: bytes) -> None:
    (place / "config.json").write_bytes(content)
    with pytest.raises(MftError, match=r"^RUN: .*config\.json cannot be read: .*; write the result again"):
        public_config(place / "config.json", None)
