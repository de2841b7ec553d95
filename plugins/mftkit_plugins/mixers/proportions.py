"""Shares as the spec gives them."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

import mftkit
from mftkit_plugins.balancers.by_task import by_task
from mftkit_plugins.mixers.sizes import as_samples


class ProportionsOptions(mftkit.Options):
    """Options of mixing by given proportions."""

    proportions: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    """Shares of all tasks by name; only their ratios matter. A task with 0 is not trained."""
    by: Literal["samples", "tokens"] = "samples"
    """Unit of the shares: samples or loss tokens."""

    @model_validator(mode="after")
    def _something_is_trained(self) -> ProportionsOptions:
        if not any(self.proportions.values()):
            raise ValueError("proportions: all are 0, so nothing would be trained")
        return self


class Proportions(mftkit.Mixer):
    """The tasks have the shares that ``proportions`` gives, for the whole run."""

    Options = ProportionsOptions
    options: ProportionsOptions

    def __init__(self, options: ProportionsOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self._given = by_task("mixing: proportions", options.proportions, tasks) if tasks else []

    def shares(self) -> list[float]:
        """Return [tasks]."""
        return list(as_samples(np.array(self._given), self.tasks, self.options.by))
