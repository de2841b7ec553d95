"""``base/``: the base of an adapter, if it exists as a checkpoint nowhere else (a random start, a conversion)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory
from mftkit.models import check_head, choose_pad, read_config
from mftkit.models.generation_config import fix_generation_config
from mftkit.models.saving import unwrapped
from mftkit_registry import MftWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
    check: Callable[[PreTrainedModel], str],
    make: Callable[[], PreTrainedModel],
) -> tuple[LoadRequest, list[str]]:
    """The request that loads the run's own base, and notes for the plan from writing it (none if it was kept).

    Writes the base first, unless the run has it already.

    Args:
        own_base: where it is kept.
        request: the request of the run for its model.
        adapter: loads it.
        tokenizer: the run's, which is saved with the base. It gets its pad token here, while the embedding may still
            grow.
        trained_ids: ids that samples train, none of which may be the pad token.
        processes: the main one writes, the others wait.
        check: raises MftError if the model cannot read the run's data, and returns a note ("" if there is none). It is
            called before the embedding grows.
        make: makes the base.
    """
    notes: list[str] = []
    if not own_base.kept and processes.is_main:
        model = make()
        surplus = check(model)
        check_head(adapter, model)
        notes = [choose_pad(tokenizer, model, trained_ids, known=adapter.pad_tokens), surplus]
        if contradiction := fix_generation_config(model):
            warnings.warn(contradiction, MftWarning, stacklevel=2)
        with new_directory(own_base.staged) as partial:
            with unwrapped():
                model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    notes = processes.from_main(notes)  # the others wait here until the base is written
    path = str(own_base.current)
    return replace(request, path=path, config=read_config(path), init="pretrained"), notes
