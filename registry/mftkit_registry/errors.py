"""Errors that the user of the program can fix."""

from __future__ import annotations

import os
import traceback


class MftError(Exception):
    """An error that the user can fix: the message says what is wrong, where, and how to fix it.

    The command line prints it without a traceback and exits with ``exit_code``; a notebook shows the message alone.
    MFT_DEBUG=1 shows the traceback. Any other exception is a fault of the program.
    """

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of the traceback."""
        if os.environ.get("MFT_DEBUG", "") in ("", "0"):
            return [f"{type(self).__name__}: {self}"]
        return traceback.format_exception(self)


class MftWarning(UserWarning):
    """A warning for the user; the command line prints it as one line."""


class UnknownKindError(MftError):
    """No kind of component has this name."""


class UnknownComponentError(MftError):
    """No installed component of the kind has this name."""

    def __init__(
        self,
        kind: str,
        name: str,
        installed: tuple[str, ...],
        nearest: tuple[str, ...],
        suspects: tuple[str, ...],
    ) -> None:
        self.kind = kind
        self.name = name
        self.installed = installed
        """Names of the components of this kind that can be used."""
        self.nearest = nearest
        """Those that look like ``name``, the most similar first."""
        self.suspects = suspects
        """Plugins that are broken or blocked, each with its reason: one of them may provide the component."""
        super().__init__(f'unknown {kind} "{name}"{self.hint()}')

    def hint(self) -> str:
        """What is installed, the nearest name, and plugins that were not loaded; starts with a semicolon."""
        names = ", ".join(f'"{name}"' for name in self.installed)
        parts = [f"allowed: {names}" if names else f"no {self.kind} is installed"]
        if self.nearest:
            parts.append(f'did you mean "{self.nearest[0]}"?')
        if self.suspects:
            parts.append(f"it may belong to a plugin that is not loaded: {'; '.join(self.suspects)}")
        return "".join(f"; {part}" for part in parts)


class ConflictError(MftError):
    """Two plugins claim the same thing; the message names both distributions."""


class BrokenComponentError(MftError):
    """A component is registered but cannot be used: its target cannot be loaded, or does not fit its kind."""
