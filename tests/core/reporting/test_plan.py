"""plan.json has what the plan has."""

from __future__ import annotations

from dataclasses import fields

from mftkit.reporting.plan import Plan, PlanJson


def test_the_json_of_a_plan_has_the_fields_of_the_plan() -> None:
    assert list(PlanJson.__annotations__) == [field.name for field in fields(Plan)]
