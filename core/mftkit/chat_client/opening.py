"""From a reference in a component's options to a chat that can be asked."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mftkit.chat_client.cache_key import chat_identity
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
    """A chat with the model that an option names; its replies are kept in ``directory``.

    Args:
        ref: the option's value.
        directory: where replies are kept, one file for each model; for one process at a time.
        tell: shows a line to the user.
        changed: called after each reply.

    Raises:
        MftError: the model cannot be used, as where a package that it needs is not installed.
    """
    model = installed.build(kinds.CHAT_MODEL, ref.name, ref.options)
    _check_packages(ref.name, model)
    identity = chat_identity(ref)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    ledger = ReplyCache(directory / f"replies-{digest}.jsonl", identity)
    if ledger.damaged:
        tell(f"{ledger.damaged} replies on the disk cannot be read, and are asked for again")
    return ChatClient(model, ledger, tell, changed)


def _check_packages(name: str, model: ChatModel) -> None:
    lacking = {module: package for module, package in model.packages.items() if not _installed(module)}
    if lacking:
        raise MftError(
            f"chat model {name} cannot be used: not installed: {', '.join(lacking)}; "
            f"pip install {' '.join(repr(package) for package in dict.fromkeys(lacking.values()))}"
        )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False
