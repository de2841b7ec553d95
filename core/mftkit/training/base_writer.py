"""``base/``: the base of an adapter, where no checkpoint elsewhere is that base (a random start, a conversion)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory
from mftkit.models import check_head, check_vocabulary, choose_pad, read_config
from mftkit.models.generation_config import fix_generation_config
from mftkit.runs.checkpoint import fingerprint
from mftkit_registry import MftWarning

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from mftkit.interfaces.model import LoadRequest, ModelAdapter
    from mftkit.processes import Processes
    from mftkit.runs.base_checkpoint import BaseCheckpoint


def own_base(
    place: BaseCheckpoint,
    request: LoadRequest,
    adapter: ModelAdapter,
    tokenizer: PreTrainedTokenizerBase,
    learned: set[int],
    processes: Processes,
) -> tuple[LoadRequest, str]:
    """The request for the run's own base, written now unless it is there; and what was done for a pad token.

    Args:
        place: where it is kept.
        request: what makes it.
        adapter: what loads it.
        tokenizer: the run's, which is saved with it; it gets its pad token here, where the embedding may grow.
        learned: ids that samples learn, of which none may be the pad token.
        processes: of which one writes.
    """
    told = ""
    if not place.kept and processes.is_main:
        model, _ = adapter.load(request)
        check_vocabulary(tokenizer, model)
        check_head(adapter, model)
        told = choose_pad(tokenizer, model, learned, known=adapter.pad_tokens)
        if contradiction := fix_generation_config(model):
            warnings.warn(contradiction, MftWarning, stacklevel=2)
        with new_directory(place.staged) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    told = processes.from_main(told)  # which is also a wait until it is written
    path = str(place.current)
    return replace(request, path=path, config=read_config(path), init="pretrained"), told


def base_fingerprint(directory: Path) -> dict[str, list[int]]:
    """Size and checksum of each file of weights: an adapter fits these and no others."""
    return {file.name: fingerprint(file) for file in sorted(directory.glob("*.safetensors"))}
