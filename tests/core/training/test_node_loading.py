"""Of the processes of a node one loads a model, and all of them use its memory until they write to it."""

from pathlib import Path

from forked import run_forked

BOTH = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from mftkit.processes import Processes
from mftkit.training.node_loading import load_once_per_node
from mftkit_registry import MftError

SHAPE = dict(hidden_size=1024, intermediate_size=1024, num_hidden_layers=1, vocab_size=24000)


def anonymous():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def load():
    assert processes.rank == 0
    return LlamaForCausalLM(LlamaConfig(**SHAPE, num_attention_heads=8, tie_word_embeddings=True))


def fail():
    raise MftError(f"read by process {processes.rank}")


processes = Processes()
torch.manual_seed(processes.rank)
before = anonymous()
model = load_once_per_node(load, processes)
held = sum(parameter.nbytes for parameter in model.parameters())
total = float(sum(parameter.detach().sum(dtype=torch.float64) for parameter in model.parameters()))  # reads all
if processes.rank == 1:
    assert anonymous() - before < held / 2, (anonymous() - before, held)
assert len(set(processes.gather(total))) == 1
assert len(set(processes.gather(float(torch.rand(()))))) == 1
assert model.get_output_embeddings().weight is model.get_input_embeddings().weight

with torch.no_grad():
    model.lm_head.weight.fill_(processes.rank)
processes.barrier()
assert bool((model.lm_head.weight == processes.rank).all())

def load_with_closure():
    made = torch.nn.Linear(2, 2)
    made.closure = lambda: made
    return made


class Marked(torch.nn.Parameter):
    pass


def load_marked():
    made = torch.nn.Linear(2, 2)
    made.weight = Marked(made.weight.detach())
    return made


assert type(load_once_per_node(load_marked, processes).weight) is Marked

torch.manual_seed(5)
assert load_once_per_node(load_with_closure, processes).closure() is not None
assert len(set(processes.gather(float(torch.rand(()))))) == 1

try:
    load_once_per_node(fail, processes)
except MftError as error:
    assert str(error) == "read by process 0"
else:
    raise AssertionError("it fails in both")
"""


def test_a_model_is_loaded_once_for_two_processes(tmp_path: Path) -> None:
    run_forked(BOTH, (2,), tmp_path)


def test_a_process_by_itself_loads_it(tmp_path: Path) -> None:
    run_forked(BOTH.partition("\nwith torch.no_grad")[0], (1,), tmp_path)
