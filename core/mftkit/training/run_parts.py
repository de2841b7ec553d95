"""The parts of a run, in the two stages in which ``mftkit.training.setup`` builds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.training.base_content import base_content

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.batches.batcher import Batcher
    from mftkit.batches.sampler import BatchSampler
    from mftkit.data.corpus import Corpus
    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.interfaces.balancer import Balancer
    from mftkit.interfaces.engine import Engine
    from mftkit.interfaces.gradients import GradientCombiner
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.optimizer import Optimizer
    from mftkit.interfaces.tokenization import TokenizationMode
    from mftkit.interfaces.tuning import Tuning
    from mftkit.processes import Processes
    from mftkit.reporting.plan import Plan
    from mftkit.spec import Spec
    from mftkit.spec.model import ModelSpec
    from mftkit.training.attention_choice import Varlen
    from mftkit.training.balancing import Balancing
    from mftkit.training.compiled_layers import CompiledLayers
    from mftkit.training.deciding import MetricHistory
    from mftkit.training.gradients import Gradients
    from mftkit.training.logprob_model import LogprobModel
    from mftkit.training.mixing import Mixing
    from mftkit.training.mode_choice import ModeChoice
    from mftkit.training.objective import Objective
    from mftkit.training.precision import Precision
    from mftkit.training.run_evaluations import RunEvaluations
    from mftkit.training.start import Start
    from mftkit.training.validation import Validator
    from mftkit.training.validation_history import ValidationHistory


@dataclass(frozen=True)
class CheckedRun:
    """A run whose spec and data are known to be good, before any weights are read and anything is written."""

    spec: Spec
    model: ModelSpec
    """The spec's ``model``; with ``model.start_from``, the model below the tuning that the reference gives."""
    start: Start | None
    """Where the run starts, if not at the weights of ``model``."""
    processes: Processes
    engine: Engine
    precision: Precision
    adapter_name: str
    adapter: ModelAdapter
    model_config: JsonObject
    """The checkpoint's config.json, or the spec's ``model.config`` for a random start."""
    tokenizer: PreTrainedTokenizerBase
    chat: ChatFormat | None
    """How conversations become text; None if no task has conversations."""
    corpus: Corpus
    balancer: Balancer
    combiner: GradientCombiner | None
    mode_choice: ModeChoice
    varlen: Varlen
    tuning: Tuning
    optimizer: Optimizer
    sampler: BatchSampler
    objective: Objective

    @property
    def mode(self) -> TokenizationMode:
        """The tokenization mode that lays out the rows."""
        return self.mode_choice.mode

    @property
    def base_content(self) -> str | None:
        """Fingerprint of the weights that the run starts from; None for a random start.

        Read each time: the weights of a hub id are there only once the model has been loaded.
        """
        if self.start is not None:
            return self.start.content
        return base_content(self.model.path, self.model.revision)

    @property
    def needs_own_base(self) -> bool:
        """Whether the result is an adapter whose base exists as a checkpoint nowhere else."""
        made_here = self.model.init == "random" or self.adapter.converts(self.model_config)
        return self.tuning.saves_adapter and (made_here or (self.start is not None and self.start.makes_base))


@dataclass(frozen=True)
class Run:
    """A run that is ready to train: a checked run, its loaded model, and what works on that model."""

    checked: CheckedRun
    model: nn.Module
    """What the tuning made of the loaded model."""
    logprob_model: LogprobModel
    """Computes log-probabilities with ``model``, in this process alone: for validation."""
    parallel_model: nn.Module
    """``logprob_model`` as the engine runs it, for training; the same object in a run of one process."""
    batcher: Batcher
    validator: Validator
    history: ValidationHistory
    """Of the validation losses."""
    metric_history: MetricHistory | None
    """Of the metric that decides instead of the losses; None: the losses decide."""
    balancing: Balancing
    mixing: Mixing
    evaluations: RunEvaluations | None
    """What the spec evaluates; None: nothing."""
    gradients: Gradients
    optimizer: torch.optim.Optimizer
    plan: Plan
    compiled: CompiledLayers | None
    """The decoder layers that are compiled; None: none are."""
    own_base: dict[str, list[int]] | None
    """Fingerprint of the base that the run directory keeps; None if it keeps none."""

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        return self.checked.processes.device

    @property
    def deciding(self) -> ValidationHistory:
        """The history that decides on best steps, stopped tasks, roll-backs and the end."""
        return self.metric_history or self.history

    @property
    def best_per_task(self) -> bool:
        """Whether each task's own best step becomes a result, too."""
        setting = self.checked.spec.training.best_per_task
        several = sum(task.valid_samples > 0 for task in self.checked.corpus.tasks) > 1
        return several and (self.checked.tuning.saves_adapter if setting is None else setting)
