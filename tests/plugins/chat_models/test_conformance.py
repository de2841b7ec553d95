"""What every chat model promises, of those that are built in."""

from collections.abc import Iterator
from typing import Any

import pytest

import mftkit.testing
from chat_server import MODEL, Answer, serving
from mftkit.plugins import installed, kinds
from mftkit_plugins.chat_models.local import Local
from mftkit_plugins.chat_models.server import Server
from tiny_chat_model import tiny_chat_model


class TestServer(mftkit.testing.ChatModelConformance):
    component = Server

    @pytest.fixture(autouse=True)
    def _served(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        def script(body: dict[str, Any], _number: int) -> Answer:
            return Answer(body["messages"][-1]["content"])

        with serving(script) as server:
            monkeypatch.setattr(type(self), "options", {"model": MODEL, "base_url": server.url})
            yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_chat_model(tmp_path_factory.mktemp("model")))


class TestLocal(mftkit.testing.ChatModelConformance):
    component = Local

    @pytest.fixture(autouse=True)
    def _made(self, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "options", {"path": tiny, "batch": 3, "device": "cpu"})


def test_none_is_left_out() -> None:
    rows = [
        row
        for row in installed.registry().plugins
        if row.kind == "chat-model" and row.distribution == "mftkit"
    ]
    built_in = {installed.component_class(kinds.CHAT_MODEL, row.name) for row in rows}
    assert built_in == {Server, Local}
