"""Asking a chat model: replies in order, each on the disk before it is used, within a budget."""

from mftkit.chat.opening import open_chat
from mftkit.chat.session import Chat
from mftkit.chat.usage import Usage

__all__ = ["Chat", "Usage", "open_chat"]
