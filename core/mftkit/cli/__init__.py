"""The command line; heavy imports stand inside the commands that need them."""

from mftkit.cli.edge import main

__all__ = ["main"]
