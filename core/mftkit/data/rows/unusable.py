"""Keys of rows and turns that carry training content which cannot be used: a row that has one is bad.

Other keys that are not used are only reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.reasoning import REASONING_KEYS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mftkit.base.json_types import JsonObject

_MEDIA = frozenset({"image", "images", "audio", "audios", "video", "videos"})
_SYSTEM = ("system_prompt", "system_message")
"""Other names of ``system``."""
_CALLS = ("tool_calls", "function_call")
_RENAME = "if the key means something else, rename it"
_IN_CONVERSATIONS = {
    **{key: f'is read only as "system": set tasks[].columns to {{"{key}": "system"}}' for key in _SYSTEM},
    "documents": "cannot be rendered: write the documents into the question",
    "context": 'is read only as "input", beside "instruction": set tasks[].columns to {"context": "input"}',
    "input": 'is read only beside "instruction": map the question to "instruction" with tasks[].columns',
    "history": "is read only beside a question and its answer: write its turns into the conversation",
    **dict.fromkeys(REASONING_KEYS, "is read only beside an answer that is a text: move it into the turn"),
    **dict.fromkeys(_CALLS, 'is read only in a turn: write the row as "messages"'),
}
"""What is wrong with a key that is not used, and how to fix it."""
_IN_TEXTS = dict.fromkeys(
    ("system", *_SYSTEM, "history", "tools", "functions", *REASONING_KEYS, *_CALLS),
    'cannot be used in a task with format "text": write it into the text',
)
_MASKS = frozenset({"loss_mask", "mask", "masked", "train_detail", "train_on_turn", "trainable", "training"})
"""Keys of turns by which other programs choose what is trained."""
_REFUSED_IN_TURNS = _MASKS | _MEDIA | {"refusal"}


def refuse_preferences(row: JsonObject) -> None:
    """Raise BadRow for a row of preferences."""
    if "chosen" in row and "rejected" in row:
        key = "completion" if "prompt" in row else "text" if isinstance(row["chosen"], str) else "messages"
        raise BadRow(
            "this is a preference row ('chosen', 'rejected'), and preferences are not trained yet: to train the chosen "
            f'answers alone, set tasks[].columns to {{"chosen": "{key}"}}'
        )
    if isinstance(row.get("label"), bool) and "prompt" in row and "completion" in row:
        raise BadRow(
            "this is a preference row ('label' says whether the completion is desirable), and preferences are not "
            f"trained yet: remove the rows whose label is false, and the key; {_RENAME}"
        )


def refuse_media(row: JsonObject) -> None:
    """Raise BadRow for images and the like."""
    for key in _MEDIA & row.keys():
        if row[key]:
            raise BadRow(f"'{key}' holds media, and only text is trained: remove the key or the row")


def refuse_unused(row: JsonObject, used: Collection[str]) -> None:
    """Raise BadRow for a key of a conversation that is not used although its answers depend on it.

    Args:
        row: the row, without null keys.
        used: the keys that are used.
    """
    given = _IN_CONVERSATIONS.keys() & row.keys()
    if given:
        _refuse(row, {key: _IN_CONVERSATIONS[key] for key in given - set(used)})


def refuse_beside_text(row: JsonObject) -> None:
    """Raise BadRow for a key that a raw text depends on: nothing but the text can be used."""
    _refuse(row, _IN_TEXTS)
    if row.get("train") is False:
        raise BadRow(
            f"'train' is false, but the task has the format \"text\": set 'weight' to 0, or remove the row; {_RENAME}"
        )


def _refuse(row: JsonObject, reasons: Mapping[str, str]) -> None:
    for key in sorted(reasons.keys() & row.keys()):
        if row[key]:
            raise BadRow(f"'{key}' {reasons[key]}; {_RENAME}")


def refuse_in_turn(turn: JsonObject, where: str) -> None:
    """Raise BadRow for a key of a turn that cannot be used although the training depends on it."""
    for key in sorted(_REFUSED_IN_TURNS & turn.keys()):
        if key in _MASKS:
            raise BadRow(
                f"{where}'{key}' is not read: use 'train' (true or false) or 'weight' to choose what is trained"
            )
        if turn[key]:
            raise BadRow(
                f"{where}'{key}' cannot be rendered, and only text is trained: remove the key or the row"
            )
