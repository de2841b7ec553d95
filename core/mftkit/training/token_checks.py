"""Check that the model has a row of its embedding for every token of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.models.vocabulary import describe_surplus, embedding_rows
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mftkit.training.run_parts import CheckedRun


def check_token_ids(checked: CheckedRun, model: PreTrainedModel) -> str:
    """Return a sentence about tokens that the model cannot read and no sample contains; "" if there are none.

    Raises MftError if a sample contains one.
    """
    surplus = describe_surplus(checked.tokenizer, model)
    if not surplus:
        return ""
    rows, first, count = embedding_rows(model), "", 0
    for split in (checked.corpus.train, checked.corpus.valid):
        for index in range(len(split)):
            tokens = split[index].tokens
            if len(tokens) and tokens.max() >= rows:
                count += 1
                first = first or _describe(checked, split.origin(index), int(tokens[tokens >= rows][0]), rows)
    if count:
        more = f" ({count:,} rows contain such tokens)" if count > 1 else ""
        raise MftError(f"{first}{more}")
    return f"model.tokenizer: {surplus}; no sample contains one"


def _describe(checked: CheckedRun, origin: str, number: int, rows: int) -> str:
    token = str(checked.tokenizer.convert_ids_to_tokens(number))
    chat = checked.chat
    if chat is not None and token in chat.controls.own:
        hint = (
            'it comes from the chat format: set chat.format to one that does without it ("markers"), or use a '
            "checkpoint that was made with this tokenizer"
        )
    else:
        hint = "remove it from the data, or use a checkpoint that was made with this tokenizer"
    return (
        f"{origin}: the sample contains the token {token} (id {number}), but the model's embedding has {rows:,} "
        f"rows, so the model cannot read it; {hint}"
    )
