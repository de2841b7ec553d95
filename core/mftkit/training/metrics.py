"""What a run measures: sums between two train lines, and metrics.jsonl."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch

from mftkit.files import disk_errors, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from mftkit.interfaces.tokenization import Batch
    from mftkit.training.steps import Step


class Meter:
    """Sums since the last train line, kept on the device so that a step need not wait for it."""

    def __init__(self, num_tasks: int, device: torch.device, dtype: torch.dtype) -> None:
        self._zeros = torch.zeros(num_tasks, device=device, dtype=dtype)
        self.reset()

    def reset(self) -> None:
        """Begin anew, after a train line."""
        zeros = self._zeros
        self.nll = zeros.clone()  # this process's; nats
        self.objective = zeros.new_zeros(())  # of the global batch
        self.positions = 0  # this process's
        self.real_tokens = 0
        self.tokens = torch.zeros(len(zeros), dtype=torch.float64)  # of the global batch, on the host
        self.samples = torch.zeros(len(zeros), dtype=torch.float64)
        self.steps = 0

    def add_pass(self, logprobs: Tensor, batch: Batch) -> None:
        """One forward pass of this process."""
        self.nll.index_add_(0, batch.task, -logprobs.detach().to(self.nll.dtype))
        self.positions += batch.input_ids.numel()
        self.real_tokens += batch.real_tokens

    def add_step(self, step: Step, objective: Tensor) -> None:
        """One optimizer step of the global batch."""
        self.objective += objective.detach()
        self.tokens += torch.from_numpy(step.tokens)
        self.samples += torch.from_numpy(step.samples)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """The sums, for a checkpoint between two train lines."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        for name, value in state.items():
            place = getattr(self, name)
            setattr(self, name, value.to(place).clone() if isinstance(value, torch.Tensor) else value)


class MetricsFile:
    """metrics.jsonl: one JSON object a line, appended and flushed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, line: dict[str, Any]) -> None:
        """Append a line; numbers that are not finite are written as null."""
        text = json.dumps(_finite(line), ensure_ascii=False, allow_nan=False)
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All lines that are whole; one cut off by a kill, or damaged, is left out."""
        if not self.path.exists():
            return []
        lines = []
        for text in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if (
                isinstance(line, dict)
                and isinstance(line.get("event"), str)
                and isinstance(line.get("step"), int)
            ):
                lines.append(line)
        return lines

    def cut(self, step: int) -> None:
        """Drop lines past ``step``, and earlier ends: a resumed run writes them again."""
        kept = [line for line in self.read() if line.get("step", 0) <= step and line.get("event") != "end"]
        write_text(self.path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
