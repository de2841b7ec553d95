"""Errors that the user of the program can mend."""

from __future__ import annotations


class MftError(Exception):
    """Something the user can mend: the message says what is wrong, where, and the way out.

    The command line prints it without a traceback and exits with ``exit_code``. Everything else
    that is raised is a fault of the program.
    """

    exit_code = 2


class MftWarning(UserWarning):
    """Something the user may not have meant; the command line prints it as one line."""


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
        """Those of them that look like ``name``, the likest first."""
        self.suspects = suspects
        """Plugins that are broken or blocked, each with its reason: the component may be theirs."""
        super().__init__(f'unknown {kind} "{name}"{self.way_out()}')

    def way_out(self) -> str:
        """What is installed, what was perhaps meant, and whose it may have been; starts with a semicolon."""
        names = ", ".join(f'"{name}"' for name in self.installed)
        parts = [f"allowed: {names}" if names else f"no {self.kind} is installed"]
        if self.nearest:
            parts.append(f'did you mean "{self.nearest[0]}"?')
        if self.suspects:
            parts.append(f"it may belong to a plugin that was not loaded: {'; '.join(self.suspects)}")
        return "".join(f"; {part}" for part in parts)


class ConflictError(MftError):
    """Two plugins claim what only one can have; the message names both distributions."""


class BrokenComponentError(MftError):
    """A component is registered, and cannot be used: its target does not load, or is none of its kind."""
