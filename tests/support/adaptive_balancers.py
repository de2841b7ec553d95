"""The balancers that learn, so brisk that a run of a few steps shows it."""

from __future__ import annotations

from typing import Any

ADAPTIVE: dict[str, dict[str, Any]] = {
    "coba": {"name": "coba", "options": {"every": 1, "warmup": 2}},
    "famo": {"name": "famo", "options": {"every": 1, "hold": 2}},
    "famo-training": {"name": "famo", "options": {"losses": "training"}},
    "uncertainty": {"name": "uncertainty"},
    "dwa": {"name": "dwa", "options": {"window": 1}},
    "dro": {"name": "dro"},
}
