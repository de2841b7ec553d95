"""Client for chat models: replies in order, each on the disk before it is used, within a budget."""

from mftkit.chat_client.client import ChatClient
from mftkit.chat_client.opening import open_chat
from mftkit.reporting.usage import Usage

__all__ = ["ChatClient", "Usage", "open_chat"]
