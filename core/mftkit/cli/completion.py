"""Shell completion of kinds and of the components of a kind. Imports nothing heavy."""

import warnings

import typer

from mftkit_registry import MftError


def kinds(incomplete: str) -> list[tuple[str, str]]:
    """Kinds that begin with ``incomplete``, with the hook that registers them."""
    from mftkit.plugins.kinds import KINDS

    return [(kind.name, f"registered by {kind.hook}") for kind in KINDS if kind.name.startswith(incomplete)]


def components(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Components of the kind given before, with their summaries."""
    from mftkit.plugins.process_registry import registry

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a message would land in the middle of the command line
        try:
            kind = registry().kind(context.params.get("kind") or "")
            found = [registry().get(kind, name) for name in registry().names(kind)]
        except MftError:
            return []
    return [(one.name, one.summary) for one in found if one.name.startswith(incomplete)]
