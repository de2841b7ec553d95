"""The result of a model that no process holds: written tensor by tensor, with the files of one that is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from engine_matrix import MODELS, prepare
from forked import run_forked

BOTH = """
import dataclasses
import torch
import mftkit
import mftkit.tools.run as run_module
from engine_matrix import spec_of
from mftkit.models import streamed_saving
from mftkit.models.streamed_saving import StreamedSaving
from mftkit.training import export, result_writing
from mftkit.training.whole_run import whole_run

own, held, rounds = export.result_writer, [], False
save = StreamedSaving.save

def both(run, directory, last):
    writer = own(run, directory, last)
    assert isinstance(writer, result_writing.StreamedWriter)
    whole = result_writing.WholeWriter(whole_run(run, directory, last), directory)
    export._prepare_tokenizer_and_generation(whole.run, mftkit.Reporter())
    place = directory.path / "whole"
    place.mkdir()
    whole.write(last, place, "whole")
    return writer

def split(self, directory, read, largest=streamed_saving.LARGEST_FILE):
    save(self, directory, read, largest)
    small = directory.with_name("split")
    small.mkdir()
    save(self, small, read, 20_000)

write = run_module.write_results

def damaged(run, directory, outcome, *rest):
    shard = directory.checkpoints.path(1) / "shards" / "__1_0.distcp"
    content = bytearray(shard.read_bytes())
    for place in range(0, len(content), 500):
        content[place] ^= 1
    shard.write_bytes(content)
    return write(run, directory, dataclasses.replace(outcome, best_step=1), *rest)

export.result_writer = both
StreamedSaving.save = split
for model, dtype in (("llama", None), ("mixtral", None), ("qwen2-tied", torch.bfloat16)):
    if dtype is not None:
        result_writing.result_dtype = lambda checked: dtype
    spec = {**spec_of((model, "full", "linear"), "fsdp2", 2, {}, "float32"), "output": model}
    spec["training"] |= {"max_steps": 1, "evaluate_every": 1}
    outcome = mftkit.run(mftkit.load_spec(spec))
    assert outcome.is_complete, outcome
run_module.write_results = damaged
StreamedSaving.save = save
spec["training"] |= {"max_steps": 2, "checkpoint_every": 1, "keep_checkpoints": 3}
assert mftkit.run(mftkit.load_spec({**spec, "output": "damaged"})).is_complete
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of three runs by two processes, each written in both ways."""
    made = tmp_path_factory.mktemp("streamed")
    prepare(made)
    run_forked(BOTH, (2,), made)
    return made


@pytest.mark.engines
@pytest.mark.parametrize("model", [*MODELS, "damaged"])
def test_the_files_are_those_of_a_whole_model(project: Path, model: str) -> None:
    streamed, whole = project / model / "model", project / model / "whole"
    names = sorted(file.name for file in whole.iterdir())
    assert "model.safetensors" in names
    assert sorted(file.name for file in streamed.iterdir()) == sorted([*names, "README.md"])
    for name in names:
        assert (streamed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.engines
@pytest.mark.parametrize("model", MODELS)
def test_several_files_have_an_index(project: Path, model: str) -> None:
    place = project / model / "split"
    index = json.loads((place / "model.safetensors.index.json").read_text())
    whole = safe_open(project / model / "whole" / "model.safetensors", "pt")
    assert index["weight_map"].keys() == set(whole.keys())
    assert index["metadata"]["total_size"] == sum(whole.get_tensor(name).nbytes for name in whole.keys())  # noqa: SIM118
    assert len(set(index["weight_map"].values())) > 1
    for name, file in index["weight_map"].items():
        assert safe_open(place / file, "pt").get_tensor(name).equal(whole.get_tensor(name))


@pytest.mark.engines
def test_a_damaged_shard_of_the_best_step_is_reported_and_the_last_step_written(project: Path) -> None:
    text = (project / "damaged" / "log.txt").read_text()
    assert (
        "__1_0.distcp is damaged: the weights of the best step are lost, so model/ holds those of the last"
        in text
    )
