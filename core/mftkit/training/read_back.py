"""Results are read back after they are written, and compared with the model that was in memory."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.interfaces.model import LoadRequest
from mftkit.models import read_config, select_adapter
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.models.logits_check import probe_logits
from mftkit.models.moe import router_class
from mftkit.models.result import Result, read_json, with_peft_adapter
from mftkit.models.rotary import fix_rotary
from mftkit.models.streamed_saving import checksum
from mftkit.models.vocabulary import embedding_rows
from mftkit.plugins.ownership import plugin_suffix
from mftkit.training.model_loading import base_request

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.directory import RunDirectory
    from mftkit.training.run_parts import Run

TOKENS, TASKS = 24, 3
"""Size of the probe: tokens of a row, and tasks whose first sample is a row of it."""
LARGE = 1 << 28
"""Bytes of a model from which its memory is returned at once."""
CLOSE = 2e-5
"""Largest difference of a logit, as a share of the largest one, between equal weights in float32 on one device."""
ELSEWHERE = 1e-3
"""The same on two devices, whose kernels sum in another order."""


class ReadBackError(Exception):
    """A result is not what was trained."""


@dataclass(frozen=True)
class WrittenResult:
    """A result on the disk, and what the model in memory gave."""

    name: str
    """Its path in the run directory."""
    directory: Path
    """Where it is now: a directory is renamed only after its results were read back."""
    logits: Tensor | None
    """[rows, tokens, vocabulary] of the probe; None if no process had the whole model."""
    adapter: Mapping[str, Tensor]
    """The tensors of a PEFT adapter by their names in its file; empty for another result."""
    dtype: torch.dtype
    """In which a full model is loaded."""
    checksums: Mapping[str, int] = field(default_factory=dict)
    """Of each tensor of a model that was written tensor by tensor, by its name in the model."""


class ReadBack:
    """Reads back the results of a run, in the process that wrote them."""

    def __init__(self, run: Run, directory: RunDirectory) -> None:
        self._run = run
        self._directory = directory
        self._written: list[WrittenResult] = []
        divided = run.checked.engine.shards_weights
        self._device = torch.device("cpu") if divided else run.device
        self._may_free = not divided
        tuning = run.checked.tuning
        # Parts of a model with a frozen base may differ in dtype, as they do in training.
        self._autocast = run.checked.precision.autocast if tuning.freezes_base else None
        self._ids = _probe(run)
        size = sum(parameter.numel() * parameter.element_size() for parameter in run.model.parameters())
        self._is_large = size >= LARGE

    def logits(self) -> Tensor:
        """Return the logits of the model in memory."""
        model = self._run.checked.tuning.base_model(self._run.model)
        return probe_logits(model, self._ids, self._autocast)

    def check_rounding(self, exact: Tensor, rounded: Tensor, dtype: torch.dtype) -> None:
        """Raise ReadBackError if writing the weights in ``dtype`` changes logits by more than rounding explains."""
        name = str(dtype).removeprefix("torch.")
        problem = _difference(exact, rounded, 16 * torch.finfo(dtype).eps, by_median=False)
        if problem:
            raise ReadBackError(
                f"the trained weights cannot be written in {name}, the dtype of the base: {problem}. Set model.dtype "
                'to "float32" in a new run'
            )

    def add(self, name: str, directory: Path, logits: Tensor) -> None:
        """Add a result that was written."""
        tensors, dtype = _adapter_tensors(self._run.model), self._run.checked.precision.weights
        self._written.append(WrittenResult(name, directory, logits, tensors, dtype))

    def add_streamed(
        self, name: str, directory: Path, checksums: Mapping[str, int], dtype: torch.dtype
    ) -> None:
        """Add a model that was written tensor by tensor; it is loaded as it was written, so that it is not copied."""
        self._written.append(WrittenResult(name, directory, None, {}, dtype, checksums))

    def verify(self, reporter: Reporter) -> None:
        """Read every result back; raise ReadBackError for one that is not what was trained.

        The memory of the model in memory and of its optimizer is freed first: this is the end of the run.
        """
        self._run.optimizer.state.clear()
        if self._may_free:
            _free(self._run)
        self._collect()
        try:
            self._verify_all()
        except torch.OutOfMemoryError:
            reporter.note("the results are read back on the CPU, because the device has no room for them")
            self._device = torch.device("cpu")
            self._collect()
            self._verify_all()

    def _verify_all(self) -> None:
        self._verify([r for r in self._written if not (r.directory / ADAPTER_CONFIG).is_file()], self._models)
        self._verify([r for r in self._written if (r.directory / ADAPTER_CONFIG).is_file()], self._adapters)

    def _verify(
        self, results: list[WrittenResult], load: Callable[[list[WrittenResult]], Generator[nn.Module]]
    ) -> None:
        loaded = load(results)
        for result in results:
            try:
                model = next(loaded)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a library raises is about the files that were just written
                raise ReadBackError(self._message(result, f"cannot be loaded: {reason(error)}")) from error
            self._compare(result, model)
            del model
        loaded.close()
        self._collect()

    def _collect(self) -> None:
        """Return memory that objects in circles hold, where that is worth the time of looking at all objects."""
        if self._is_large:
            gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _compare(self, result: WrittenResult, model: nn.Module) -> None:
        base = _inner(model)
        if result.logits is None:
            if problem := _changed_checksums(result.checksums, base):
                raise ReadBackError(self._message(result, f"is not what was trained: {problem}"))
            return
        after = probe_logits(base, self._ids, self._autocast)
        problem = _changed_tensors(result.adapter, _adapter_tensors(model)) or _difference(
            result.logits, after, self._tolerance(base), by_median=router_class(base) is not None
        )
        if problem:
            raise ReadBackError(self._message(result, f"is not what was trained: {problem}"))

    def _tolerance(self, model: PreTrainedModel) -> float:
        arithmetic = self._autocast or next(p.dtype for p in model.parameters() if p.is_floating_point())
        close = CLOSE if self._device == self._run.device else ELSEWHERE
        return max(close, 16 * torch.finfo(arithmetic).eps if arithmetic.itemsize < 4 else 0.0)

    def _message(self, result: WrittenResult, fault: str) -> str:
        tuning = self._run.checked.tuning
        steps = self._directory.checkpoints.steps()
        kept = f"the checkpoint of step {steps[-1]} is kept" if steps else "there is no checkpoint"
        return (
            f"{result.name} was written, and {fault}. It was removed, and {kept}. Fix the tuning "
            f"{type(tuning).__name__}{plugin_suffix(tuning)}, which writes results; the same command then writes them "
            "again"
        )

    def _models(self, results: list[WrittenResult]) -> Generator[PreTrainedModel]:
        """Yield each full model, loaded in the dtype of training and as in training."""
        checked = self._run.checked
        for result in results:
            path = str(result.directory)
            config = read_config(path, checked.spec.model.trust_remote_code)
            adapter = checked.adapter if checked.adapter.matches(config) > 0 else select_adapter(config)[1]
            request = LoadRequest(
                path=path,
                config=config,
                dtype=result.dtype,
                attention=checked.spec.model.loaded_attention,
                trust_remote_code=checked.spec.model.trust_remote_code,
            )
            model, _ = adapter.load(request)
            fix_rotary(model, checked.spec.max_length)
            yield _moved(model, self._device)
            del model

    def _adapters(self, results: list[WrittenResult]) -> Generator[nn.Module]:
        """Yield each adapter on its base, which is loaded once if an adapter leaves it as it was."""
        base: PreTrainedModel | None = None
        plain: Tensor | None = None
        for result in results:
            if base is None:
                base = self._base()
                plain = probe_logits(base, self._ids, self._autocast) if len(results) > 1 else None
            config = read_json(result.directory / ADAPTER_CONFIG)
            tuned = with_peft_adapter(Result(result.directory, None, config, {}), base)
            yield tuned.to(self._device)
            base = None
            if plain is not None and hasattr(tuned.base_model, "unload"):
                bare: PreTrainedModel = tuned.unload()
                base = bare if torch.equal(probe_logits(bare, self._ids, self._autocast), plain) else None

    def _base(self) -> PreTrainedModel:
        checked = self._run.checked
        request = base_request(checked)
        if self._run.own_base is not None:
            path = str(self._directory.base)
            request = replace(request, path=path, config=read_config(path), init="pretrained")
        options = checked.tuning.load_options(checked.precision.arithmetic)
        model, _ = checked.adapter.load(replace(request, load_options=options))
        fix_rotary(model, checked.spec.max_length)
        return _moved(model, self._device)


def _probe(run: Run) -> Tensor:
    """Return [rows, tokens] int64: the beginnings of the first samples of some tasks, and made-up tokens.

    No row is longer than what was trained, because the model may be unable to read more.
    """
    train = run.checked.corpus.train
    length = max(2, min(TOKENS, int(train.lengths.max())))
    vocabulary = embedding_rows(run.checked.tuning.base_model(run.model))
    rows = [torch.arange(length) * 7 + 3]
    for task in np.unique(train.task)[:TASKS]:
        tokens = torch.from_numpy(train[int(np.argmax(train.task == task))].tokens.astype(np.int64))
        rows.append(tokens.repeat(-(-length // len(tokens)))[:length])
    return torch.stack(rows) % vocabulary


def _difference(before: Tensor, after: Tensor, tolerance: float, *, by_median: bool) -> str:
    """Return how logits differ by more than ``tolerance`` times the largest; "" if they do not.

    ``by_median``: judged by the median over tokens, because rounding may send single tokens to other experts.
    """
    if before.shape != after.shape:
        return f"the shape of its logits is {tuple(after.shape)}, not {tuple(before.shape)}"
    off, largest = (after - before).abs().amax(-1), float(before.abs().max())
    worst = float(off.median() if by_median else off.max())
    if worst <= tolerance * max(largest, 1e-30):
        return ""
    return f"its logits differ by up to {worst:.3g} (the largest logit is {largest:.3g})"


def _changed_tensors(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str:
    """Return how the tensors of an adapter differ; "" if they are the same up to the dtype that they are loaded in."""
    if not before or not after:
        return ""
    missing, added = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    if missing or added:
        return f"it lacks {missing[0]}" if missing else f"it has {added[0]}, which was not trained"
    changed = [
        name for name, tensor in before.items() if not torch.equal(tensor.to(after[name]), after[name])
    ]
    return f"{changed[0]} has other numbers" if changed else ""


def _changed_checksums(expected: Mapping[str, int], model: PreTrainedModel) -> str:
    """Return which tensor of a model is not the one that was written; "" if all are."""
    found = model.state_dict()
    missing = [name for name in expected if name not in found]
    if missing:
        return f"it lacks {missing[0]}"
    changed = [name for name, value in expected.items() if checksum(found[name].cpu()) != value]
    return f"{changed[0]} has other numbers" if changed else ""


def _adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a PEFT adapter on the CPU, by their names in its file; empty for another model."""
    if not hasattr(model, "peft_config"):
        return {}  # without importing peft, and with it bitsandbytes and the compiler of torch: seconds of each run
    with without_peft_noise():
        from peft import PeftModel, get_peft_model_state_dict

        if not isinstance(model, PeftModel):
            return {}
        tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def _inner(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model in peft's, or the model itself."""
    inner = getattr(model, "get_base_model", None)
    return cast("PreTrainedModel", model if inner is None else inner())


def _moved(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    nn.Module.to(model, device)  # transformers declares ``to`` without types
    return model


def _free(run: Run) -> None:
    """Free the memory of the run's model and its gradients; it cannot be used afterwards."""
    for parameter in run.parallel_model.parameters():
        parameter.grad = None
        parameter.data = parameter.data.new_empty(0)
