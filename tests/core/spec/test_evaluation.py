"""The sections of a spec about evaluation: what is refused, with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mftkit
from small_runs import small_spec

SECTION = {"evaluators": ["exact-match"]}


def load(tmp_path: Path, section: dict[str, Any] | None = None, **changes: Any) -> Any:
    spec = small_spec(**changes)
    if section is not None:
        spec["tasks"][0]["evaluate"] = section
    return mftkit.load_spec(spec, directory=tmp_path)


def test_defaults_are_greedy_answers_to_the_validation_rows(tmp_path: Path) -> None:
    spec = load(tmp_path, SECTION)
    section = spec.tasks[0].evaluate
    assert (section.data, section.samples, section.temperature, section.limit) == (None, 1, 0.0, None)
    assert spec.evaluation.every is None
    assert mftkit.load_spec(spec.dump()) == spec


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"evaluators": []}, "tasks.0.evaluate.evaluators: list should have at least 1 item"),
        ({"evaluators": ["exact-mtch"]}, 'did you mean "exact-match"'),
        ({"evaluators": ["loss", "loss"]}, "tasks.0.evaluate.evaluators.1.name: is named twice"),
        ({**SECTION, "samples": 3}, "tasks.0.evaluate.temperature: should be above 0"),
        ({**SECTION, "top_p": 0}, "tasks.0.evaluate.top_p"),
    ],
)
def test_a_section_that_cannot_be_used_is_refused(
    section: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(mftkit.MftError) as error:
        load(tmp_path, section)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"name": "unseen"}, "evaluation.tasks.0.data: is required"),
        ({"name": "big", "data": ["x.jsonl"]}, "evaluation.tasks.0.name: is already the name of a task"),
    ],
)
def test_a_task_that_is_not_trained_needs_data_and_another_name(
    task: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(mftkit.MftError) as error:
        load(tmp_path, evaluation={"tasks": [{**SECTION, **task}]})
    assert message in str(error.value)
