"""Shares by size and temperature."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

import mftkit
from mftkit_plugins.mixers.sizes import by_temperature


class TemperatureOptions(mftkit.Options):
    """Options of mixing by temperature."""

    temperature: float = Field(gt=0)
    """1 keeps the sizes; larger values make the tasks more equal."""
    by: Literal["samples", "tokens"] = "samples"
    """Unit of sizes and shares: samples or loss tokens."""


class Temperature(mftkit.Mixer):
    """A task's share is proportional to its size to the power of 1 / ``temperature``; fixed for the whole run."""

    Options = TemperatureOptions
    options: TemperatureOptions

    def shares(self) -> list[float]:
        """Return [tasks]."""
        return list(by_temperature(self.tasks, self.options.temperature, self.options.by))
