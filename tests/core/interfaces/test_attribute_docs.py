"""``help()`` of the public classes shows attributes and fields with their documentation."""

from __future__ import annotations

import pydoc
from typing import Any

import pytest
from pydantic import Field

import mftkit
from mftkit.interfaces.attribute_docs import attribute_docs, documented


class ScaledOptions(mftkit.Options):
    """What a spec may set."""

    scale: float = Field(default=1.0, gt=0)
    """Factor of the whole loss."""


class Plain(mftkit.Options):
    pass


def shown(cls: Any) -> Any:
    return pydoc.render_doc(cls, renderer=pydoc.plaintext)  # type: ignore[attr-defined]


def test_attributes_of_an_interface() -> None:
    text = shown(mftkit.Balancer)
    assert "Weighs the tasks" in text
    assert "needs_step_losses: bool = False" in text
    assert "validation_samples: int = 8\n |          Samples per task" in text


@pytest.mark.parametrize(
    ("cls", "declaration"),
    [
        (mftkit.Batch, "token_mask: Tensor | None = None"),
        (mftkit.Tokens, "logprobs: Tensor"),
        (mftkit.Sample, "loss_mask: NDArray[np.bool_]"),
        (mftkit.TaskInfo, "valid_samples: int = 0"),
        (ScaledOptions, "scale: float = 1.0\n |          Factor of the whole loss."),
    ],
)
def test_fields(cls: Any, declaration: Any) -> None:
    assert declaration in shown(cls)


def test_the_schema_of_options_does_not_repeat_them() -> None:
    schema = ScaledOptions.model_json_schema()
    assert schema["description"] == "What a spec may set."
    assert schema["properties"]["scale"]["description"] == "Factor of the whole loss."
    assert "description" not in Plain.model_json_schema()


def test_every_public_field_of_a_dataclass_or_interface_is_documented_or_says_all_by_its_name() -> None:
    missing = {}
    for name in ("Batch", "Sample", "Tokens", "Totals", "Head", "LoadRequest", "Reply", "Execution"):
        cls = getattr(mftkit, name)
        found = {declaration.partition(":")[0] for declaration, _ in attribute_docs(cls)}
        missing[name] = sorted(set(cls.__dataclass_fields__) - found)
    assert missing == {
        "Batch": [],
        "Sample": ["task"],
        "Tokens": ["num_samples", "num_tasks"],
        "Totals": [],
        "Head": ["bias", "normalized", "scale", "soft_cap"],
        "LoadRequest": ["init", "trust_remote_code"],
        "Reply": ["completion_tokens", "prompt_tokens"],
        "Execution": ["stderr"],
    }


def test_a_class_without_source_keeps_its_docstring() -> None:
    made: dict[str, Any] = {}
    exec('import mftkit\nclass Made(mftkit.Component):\n    """Made."""\n    x: int = 1', made)
    assert documented(made["Made"]).__doc__ == "Made."
