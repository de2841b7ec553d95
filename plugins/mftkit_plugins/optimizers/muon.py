"""Muon (Jordan 2024; arXiv 2502.16982): momentum, orthogonalized, for the matrices inside of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

import mftkit
from mftkit_plugins.optimizers.adam_options import AdamOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class MuonOptions(AdamOptions):
    """Options of Muon, and of AdamW for what it does not update."""

    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Decay per step of the moving average of gradients."""
    nesterov: bool = True
    """Whether the update looks ahead of that average, by the present gradient."""
    iterations: int = Field(default=5, ge=1, lt=100)
    """Newton-Schulz iterations of the orthogonalization."""


class Muon(mftkit.Optimizer):
    """torch's Muon for matrices of two dimensions; AdamW for embeddings, head, vectors and stacked experts.

    An update of Muon is scaled to the size of one of AdamW (0.2 times the root of the longer side, arXiv 2502.16982,
    equation 4), so that learning rate and weight decay of AdamW can be used for both.
    """

    Options = MuonOptions
    options: MuonOptions

    def check(self, device: torch.device) -> None:  # noqa: ARG002
        """Raise MftError if torch has no Muon yet."""
        import torch

        if not hasattr(torch.optim, "Muon"):
            raise mftkit.MftError(
                f"training.optimizer: muon needs torch 2.9, which is not installed (torch {torch.__version__}); "
                'install it, or use "adamw"'
            )

    def build(self, groups: Sequence[mftkit.ParameterGroup]) -> torch.optim.Optimizer:
        """Return one optimizer of both, the groups of Muon first."""
        import torch

        options = self.options
        matrices = [_part(group, by_muon=True) for group in groups]
        others = [_part(group, by_muon=False) for group in groups]
        parts: list[torch.optim.Optimizer] = []
        if found := [group for group in matrices if group["params"]]:
            parts.append(
                torch.optim.Muon(
                    found,
                    momentum=options.momentum,
                    nesterov=options.nesterov,
                    ns_steps=options.iterations,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        if found := [group for group in others if group["params"]]:
            parts.append(
                torch.optim.AdamW(
                    found, lr=groups[0].learning_rate, betas=options.betas, eps=options.eps, fused=True
                )
            )
        return _joined(parts)

    def notes(self, groups: Sequence[mftkit.ParameterGroup]) -> list[str]:
        """Return how many numbers each part updates."""
        members = [member for group in groups for member in group.members]
        total = sum(member.tensor.numel() for member in members)
        own = sum(member.tensor.numel() for member in members if _is_muons(member))
        if own == total:
            return [f"optimizer muon updates all {total:,} trained numbers"]
        others = _kinds([member for member in members if not _is_muons(member)])
        if own == 0:
            return [f"optimizer muon updates none of {total:,} trained numbers, AdamW all of them ({others})"]
        return [
            f"optimizer muon updates {own:,} of {total:,} trained numbers, and AdamW the others ({others})"
        ]

    def state_bytes(self, parameter: mftkit.TrainedParameter) -> int:
        """Return the bytes of one average for Muon, or two for AdamW."""
        tensor = parameter.tensor
        return (1 if _is_muons(parameter) else 2) * tensor.numel() * tensor.element_size()


def _is_muons(member: mftkit.TrainedParameter) -> bool:
    return member.tensor.ndim == 2 and not member.is_vocabulary


def _kinds(others: list[mftkit.TrainedParameter]) -> str:
    """What AdamW updates, of what there is."""
    found = {
        "embeddings or head": any(each.is_vocabulary for each in others),
        "vectors": any(each.tensor.ndim < 2 and not each.is_vocabulary for each in others),
        "stacked experts": any(each.tensor.ndim > 2 and not each.is_vocabulary for each in others),
    }
    return ", ".join(kind for kind, there in found.items() if there)


def _part(group: mftkit.ParameterGroup, *, by_muon: bool) -> dict[str, Any]:
    return group.as_torch([member for member in group.members if _is_muons(member) == by_muon])


def _joined(parts: list[torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """Return an optimizer that has the groups of all parts, and lets each update its own."""
    import torch

    class Joined(torch.optim.Optimizer):
        def __init__(self) -> None:
            self.sizes = [len(part.param_groups) for part in parts]
            super().__init__([group for part in parts for group in part.param_groups], {})

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            first = 0
            for part, size in zip(parts, self.sizes, strict=True):
                # Loading a state replaces groups and state, so the parts get them before each step.
                part.param_groups, part.state = self.param_groups[first : first + size], self.state
                part.step(closure)
                first += size

    return Joined()
