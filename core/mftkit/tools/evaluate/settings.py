"""Settings of rows and answers that stand for those of all tasks of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.spec import load_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.spec import Spec


def with_answer_settings(spec: Spec, settings: Mapping[str, float | None]) -> Spec:
    """Set keys of every section that says what is evaluated.

    Args:
        spec: is not changed.
        settings: by key, such as "limit"; None: as the spec has it.

    Raises:
        SpecError: the keys do not fit together, such as several samples of greedy answers.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    if not given:
        return spec
    data = spec.dump()
    sections = [task["evaluate"] for task in data["tasks"] if task["evaluate"] is not None]
    for section in [*sections, *data["evaluation"]["tasks"]]:
        section.update(given)
    return load_spec(data)
