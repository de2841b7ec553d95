"""From an option to a chat: packages, where replies are kept, and what they depend on."""

from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.chat_client.cache_key import chat_refs, options_identity
from mftkit.chat_client.opening import _check_packages, open_chat
from mftkit.interfaces.references import ChatRef
from mftkit_plugins.chat_models.server import Server


class Options(mftkit.Options):
    """One chat model at the top, others further down."""

    model: mftkit.ChatModelRef
    other: mftkit.ChatModelRef | None = None
    more: dict[str, tuple[mftkit.ChatModelRef, ...]] = {}
    count: int = 3


def ref(**options: Any) -> dict[str, Any]:
    return {"name": "openai", "options": {"model": "m", **options}}


def test_an_option_is_read_and_checked_as_a_component() -> None:
    options = Options.model_validate({"model": ref(temperature=0)})
    assert isinstance(options.model, ChatRef)
    assert options.model.options["temperature"] == 0
    assert options.model.options["reply_tokens"] == 2048
    assert Options.model_validate(options.model_dump(mode="json")) == options
    with pytest.raises(ValueError, match="max_cost needs prices"):
        Options.model_validate({"model": ref(max_cost=1)})
    with pytest.raises(ValueError, match="unknown chat-model"):
        Options.model_validate({"model": "nobody"})


def test_rows_depend_on_what_is_answered_and_not_on_how_it_is_reached() -> None:
    def identity(**options: Any) -> Any:
        given = {"model": ref(), "other": ref(**options), "more": {"a": [ref(), ref(**options)]}}
        return options_identity(Options.model_validate(given))

    same = identity()
    for option in Server.options_without_effect_on_replies:
        value = {
            "base_url": "http://elsewhere/v1", "key_variable": "OTHER", "limit_field": "max_completion_tokens",
            "max_cost": 5.0, "price_in": 2.0,
        }.get(option, 7)  # fmt: skip
        prices = {"price_out": 1.0} if option == "max_cost" else {}
        assert identity(**{option: value, **prices}) == same, option
    for option, value in (("temperature", 0.5), ("reply_tokens", 9), ("model", "n"), ("extra", {"a": 1})):
        assert identity(**{option: value}) != same, option
    assert same["count"] == 3
    assert same["model"] == same["other"] == same["more"]["a"][1]


def test_the_chat_models_of_options_are_found_at_any_depth() -> None:
    given = {"model": ref(), "more": {"a": [ref(model="x"), ref(model="y")]}}
    found = [each.options["model"] for each in chat_refs(Options.model_validate(given))]
    assert found == ["m", "x", "y"]


def test_each_model_keeps_its_replies_apart(tmp_path: Path) -> None:
    for model in ("a", "b", "a"):
        given = Options.model_validate({"model": ref(model=model)}).model
        open_chat(given, tmp_path).close()
    assert len(list(tmp_path.glob("replies-*.jsonl"))) == 2


def test_replies_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    given = Options.model_validate({"model": ref()}).model
    open_chat(given, tmp_path).close()
    [path] = tmp_path.glob("replies-*.jsonl")
    path.write_text("garbage\n")
    notes: list[str] = []
    open_chat(given, tmp_path, notes.append).close()
    assert notes == ["1 replies on the disk are damaged and will be requested again"]


def test_a_package_that_is_missing_is_reported_before_any_work() -> None:
    class Needy(mftkit.ChatModel):
        packages = {"not_there_at_all.inner": "mftkit[generate]"}

    with pytest.raises(
        mftkit.MftError, match=r"not installed: not_there_at_all.inner; pip install 'mftkit\[generate\]'"
    ):
        _check_packages("needy", Needy(mftkit.ChatOptions()))
