"""Opens a chat with the model that a component's options name."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mftkit.base.optional_packages import missing_packages, missing_packages_text
from mftkit.chat_client.cache_key import chat_key
from mftkit.chat_client.client import ChatClient
from mftkit.chat_client.reply_cache import ReplyCache
from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mftkit.interfaces.chat import ChatModel
    from mftkit.interfaces.references import ChatRef


def open_chat(
    ref: ChatRef,
    directory: Path,
    tell: Callable[[str], None] = lambda _line: None,
    changed: Callable[[], None] = lambda: None,
) -> ChatClient:
    """Open a chat with the model that an option names; its replies are kept in ``directory``.

    Args:
        ref: the option's value.
        directory: holds the replies, one file per model; used by one process at a time.
        tell: shows a message to the user.
        changed: called after each reply.

    Raises:
        MftError: the model cannot be used, for example because a package is not installed.
    """
    model = installed.build(kinds.CHAT_MODEL, ref.name, ref.options)
    _check_packages(ref.name, model)
    identity = chat_key(ref)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    replies = ReplyCache(directory / f"replies-{digest}.jsonl", identity)
    if replies.damaged:
        tell(f"{replies.damaged} replies on the disk are damaged and will be requested again")
    return ChatClient(model, replies, tell, changed)


def _check_packages(name: str, model: ChatModel) -> None:
    missing = missing_packages(model.packages)
    if missing:
        raise MftError(f"chat model {name} cannot be used: {missing_packages_text(missing)}")
