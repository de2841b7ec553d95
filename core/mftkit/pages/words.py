"""Keys of the run's files in plain words."""

from __future__ import annotations

_WORDS = {
    "batch_size": "packed rows per optimizer step",
    "balancer": "balancer",
    "components": "",
    "data": "fingerprint of the data",
    "dropped": "dropped samples",
    "drawn": "samples drawn per epoch",
    "dtype": "number format of the arithmetic",
    "engine": "parallel engine",
    "fill": "positions that hold tokens",
    "max_length": "longest packed row, in tokens",
    "notes": "note",
    "output": "run directory",
    "packages": "version of",
    "rows": "packed rows per epoch",
    "samples": "training samples",
    "share": "share of all loss tokens",
    "skipped": "skipped data rows",
    "steps": "optimizer steps",
    "steps_per_epoch": "optimizer steps per epoch",
    "threads": "threads on the CPU",
    "tokens": "loss tokens per epoch",
    "trainable": "trained parameters",
    "truncated": "samples cut to the longest row",
    "valid_samples": "validation samples",
}


def in_words(key: str) -> str:
    """A key in plain words; one that is not known with spaces.

    >>> in_words("valid_samples"), in_words("first_light")
    ('validation samples', 'first light')
    """
    return _WORDS.get(key, key.replace("_", " "))
