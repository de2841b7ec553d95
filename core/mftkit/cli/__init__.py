"""The command line; heavy imports stand inside the commands that need them."""

from mftkit.cli.entry import main

__all__ = ["main"]
