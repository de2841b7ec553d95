"""``base/``: the base of an adapter, if it exists as a checkpoint nowhere else (a random start, a conversion)."""

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


def ensure_base(
    own_base: BaseCheckpoint,
    request: LoadRequest,
    adapter: ModelAdapter,
    tokenizer: PreTrainedTokenizerBase,
    trained_ids: set[int],
    processes: Processes,
) -> tuple[LoadRequest, str]:
    """The request that loads the run's own base, and a note about its pad token ("" if there is nothing to say).

    Writes the base first, unless the run has it already.

    Args:
        own_base: where it is kept.
        request: makes the base.
        adapter: loads it.
        tokenizer: the run's, which is saved with the base. It gets its pad token here, while the embedding may still
            grow.
        trained_ids: ids that samples train, none of which may be the pad token.
        processes: the main one writes, the others wait.
    """
    note = ""
    if not own_base.kept and processes.is_main:
        model, _ = adapter.load(request)
        check_vocabulary(tokenizer, model)
        check_head(adapter, model)
        note = choose_pad(tokenizer, model, trained_ids, known=adapter.pad_tokens)
        if contradiction := fix_generation_config(model):
            warnings.warn(contradiction, MftWarning, stacklevel=2)
        with new_directory(own_base.staged) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    note = processes.from_main(note)  # the others wait here until the base is written
    path = str(own_base.current)
    return replace(request, path=path, config=read_config(path), init="pretrained"), note


def base_fingerprint(directory: Path) -> dict[str, list[int]]:
    """Size and checksum of each file of weights: an adapter fits these weights and no others."""
    return {file.name: fingerprint(file) for file in sorted(directory.glob("*.safetensors"))}
