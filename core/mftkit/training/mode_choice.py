"""Which tokenization mode a run uses: the spec's, or the one that takes its place for a model that cannot isolate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.models import isolation_problem
from mftkit.plugins import installed, kinds
from mftkit.training.recorded import recorded_environment
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.component import TaskInfo
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.processes import Processes
    from mftkit.spec import Spec

RECORD = "tokenization"
"""The key of environment.json that says which mode the run uses."""


@dataclass(frozen=True)
class ModeChoice:
    """The mode that lays out a run's rows, and why it is that one."""

    name: str
    """The spec's."""
    mode: TokenizationMode
    """Which lays out the rows."""
    other: TokenizationMode | None = None
    """The mode that takes its place if the model cannot isolate; None: there is none, or it has taken its place."""
    reason: str = ""
    """Why another mode took the place of the spec's; "" if none did."""
    is_final: bool = False
    """Whether the loaded model was tried, or the run was begun with this choice."""

    def describe(self) -> str:
        """One line for the user; "" if the spec's mode leaves no choice."""
        rows = f"tokenization {self.name}: {self.mode.describe()}"
        if self.reason:
            return f"{rows}: {self.reason}"
        if self.other is None:
            return ""
        return f"{rows} and kept apart" + (
            "" if self.is_final else " (a run tries this once the model is loaded)"
        )

    def dump(self) -> JsonObject | None:
        """As environment.json has it; None if the spec's mode leaves no choice."""
        if self.other is None and not self.reason:
            return None
        return {
            "name": self.name,
            "rows": self.mode.describe(),
            "isolates": not self.reason,
            "reason": self.reason,
        }

    def replaced(self, reason: str) -> ModeChoice:
        """The choice of the other mode."""
        assert self.other is not None, "there is another mode"
        return replace(self, mode=self.other, other=None, reason=reason)


def choose_mode(
    spec: Spec, adapter: ModelAdapter, config: JsonObject, tasks: tuple[TaskInfo, ...], *, fresh: bool = True
) -> ModeChoice:
    """The mode for a spec's model, as far as its config says; without ``fresh``, as the run that resumes was begun."""
    mode: TokenizationMode = installed.build(
        kinds.TOKENIZATION_MODE, spec.tokenization.name, spec.tokenization.options, tasks
    )
    choice = ModeChoice(spec.tokenization.name, mode, mode.without_isolation())
    if choice.other is None:
        return choice
    recorded = None if fresh else _recorded(spec)
    if recorded is not None:
        choice = replace(choice, is_final=True)
        return choice if recorded["isolates"] else choice.replaced(str(recorded["reason"]))
    attention = spec.model.attention
    problem = adapter.packing_problem(config)
    if not problem and attention not in ("auto", *adapter.isolating_attentions):
        problem = f"attention {attention} is not known to keep packed samples apart"
    return choice.replaced(problem) if problem else choice


def tried(
    choice: ModeChoice,
    spec: Spec,
    adapter: ModelAdapter,
    model: PreTrainedModel,
    longest: int,
    processes: Processes,
) -> ModeChoice:
    """The choice after the loaded model was tried; all processes choose the same.

    Args:
        choice: has another mode.
        spec: of the run.
        adapter: of the model.
        model: below the run's tuning, on the device of training.
        longest: tokens of the longest sample.
        processes: that train together.

    Raises:
        MftError: the run was begun with packed samples, and this model does not keep them apart now.
    """
    found = processes.gather(isolation_problem(adapter, model, longest))
    problem = next((each for each in found if each), "")
    if not problem:
        return replace(choice, is_final=True)
    reason = f"{type(model).__name__}: {problem}"
    if choice.is_final:
        raise MftError(
            f"tokenization: the run in {spec.output} was begun with packed samples kept apart, and now they are not "
            f"({reason}). Resume it with the versions and the device of its environment.json, or use --fresh to start "
            "over."
        )
    return replace(choice.replaced(reason), is_final=True)


def _recorded(spec: Spec) -> JsonObject | None:
    """The choice of the run in the output directory, if it has a checkpoint to resume from."""
    environment = recorded_environment(spec)
    try:
        name = read_json_object(spec.output / "spec.json")["tokenization"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    recorded = None if environment is None else environment.get(RECORD)
    if name != spec.tokenization.name or not isinstance(recorded, dict):
        return None
    return recorded if {"isolates", "reason"} <= recorded.keys() else None
