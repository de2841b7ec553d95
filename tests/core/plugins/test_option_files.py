"""The files that options name belong to the identity of what is made with them."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import mftkit
from mftkit.chat_client.cache_key import chat_key, options_identity
from mftkit.plugins.option_files import content_digest, file_digests


class Inner(BaseModel):
    """Options inside options."""

    path: mftkit.SpecPath


class Options(mftkit.Options):
    """Paths at every depth."""

    file: mftkit.SpecPath | None = None
    several: tuple[mftkit.SpecPath, ...] = ()
    named: dict[str, list[mftkit.SpecPath]] = {}
    inner: Inner | None = None
    model: mftkit.ChatModelRef | None = None
    models: list[mftkit.ChatModelRef] = []
    place: mftkit.SpecLocation | None = None
    count: int = 1


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"file": "f"}, "file"),
        ({"several": ["f"]}, "several.0"),
        ({"named": {"a": ["f"]}}, "named.a.0"),
        ({"inner": {"path": "f"}}, "inner.path"),
        ({"model": {"name": "local", "options": {"path": "./f"}}}, "model.options.path"),
        ({"models": [{"name": "local", "options": {"path": "./f"}}]}, "models.0.options.path"),
    ],
)
def test_another_content_is_another_identity(tmp_path: Path, options: dict[str, Any], place: str) -> None:
    def identity() -> tuple[object, dict[str, str]]:
        read = Options.model_validate(options, context={"directory": tmp_path})
        assert Options.model_validate_json(read.model_dump_json()) == read
        return options_identity(read), file_digests(read)

    missing = identity()
    assert missing[1] == {place: "missing"}
    (tmp_path / "f").write_text("one")
    first = identity()
    assert first[0] != missing[0]
    os.utime(tmp_path / "f", (1, 1))
    assert identity() == first
    (tmp_path / "f").write_text("two")
    os.utime(tmp_path / "f", (2, 2))
    assert identity()[0] != first[0]
    assert list(identity()[1]) == [place]


def test_options_without_files_keep_the_identity_that_they_had(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    options = Options(place=tmp_path / "there", model="local" if False else None)
    assert options_identity(options) == options.model_dump(mode="json")
    assert file_digests(options) == {}
    model = {"name": "openai", "options": {"model": "m"}}
    read = Options.model_validate({"model": model})
    assert read.model is not None
    assert list(chat_key(read.model)) == ["name", "options"]


def test_a_directory_is_the_names_and_contents_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")
    before = content_digest(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "other")
    assert content_digest(tmp_path / "other") == before
    (tmp_path / "other" / "b" / "x").rename(tmp_path / "other" / "b" / "y")
    renamed = content_digest(tmp_path / "other")
    assert renamed != before
    (tmp_path / "other" / "z").write_text("")
    assert content_digest(tmp_path / "other") not in (before, renamed)
