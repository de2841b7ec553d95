"""Checkpoints as they are published: an adapter left beside a model, surplus tokens, tables of positions, scalings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

import mftkit
from mftkit.cli import main
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.reporting.reporter import Reporter
from mftkit.tools.convert import convert
from mftkit.tools.merge import merge
from small_runs import comparable, metrics, rows, small_spec, write_rows

TINY = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": None, "pad_token_id": 0}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the data of two tasks, of few rows: most of these tests train for two steps."""
    write_rows(tmp_path / "data" / "big.jsonl", rows("big", 40))
    write_rows(tmp_path / "data" / "small.jsonl", rows("small", 20))
    return tmp_path


class Kept(Reporter):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.plans: list[Any] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def planned(self, plan: Any) -> None:
        self.plans.append(plan)

    @property
    def notes(self) -> str:
        return "\n".join(note for plan in self.plans for note in plan.notes)


def tokenizer(*special: str, template: str | None = None) -> PreTrainedTokenizerBase:
    made = train_bpe([f"def sort(value): return sort(value) {i}" for i in range(9)], 300)
    made.add_special_tokens({"extra_special_tokens": list(special)})
    if template:
        made.chat_template = template
    return made


def checkpoint(
    project: Path,
    family: str = "llama",
    words: PreTrainedTokenizerBase | None = None,
    vocab: int = 0,
    **changes: Any,
) -> Path:
    torch.manual_seed(0)
    words = words or tokenizer()
    ends = {"vocab_size": vocab or len(words), "eos_token_id": words.eos_token_id}
    shape = {} if family in TABLES else TINY
    config = AutoConfig.for_model(family, **(shape | ends | changes))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.mul_(2)
    model.save_pretrained(project / "base")
    words.save_pretrained(project / "base")
    return project / "base"


def spec(**changes: Any) -> dict[str, Any]:
    training = {"max_steps": 2, "evaluate_every": 1, "log_every": 1, "batch_size": 4, "micro_batch_size": 2}
    return small_spec(
        model={"path": "base"} | changes.pop("model", {}),
        training=training | changes.pop("training", {}),
        **changes,
    )


def run(project: Path, given: dict[str, Any], **options: Any) -> Kept:
    reporter = Kept()
    outcome = mftkit.run(mftkit.load_spec(given, directory=project), reporter=reporter, **options)
    assert outcome.error is None
    return reporter


def add_adapter(directory: Path, named: Path) -> None:
    """Leave a trained adapter in a directory."""
    model = AutoModelForCausalLM.from_pretrained(named)
    with mftkit.without_peft_noise():
        tuned = get_peft_model(
            model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], init_lora_weights=False)
        )
        tuned.peft_config["default"].base_model_name_or_path = str(named)
        tuned.save_pretrained(str(directory.parent / "left"), save_embedding_layers=False)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(directory.parent / "left" / file, directory / file)


IDS = torch.arange(5, 20).unsqueeze(0)
LORA = {"method": "lora", "rank": 4}


@pytest.mark.parametrize("tuning", ["full", LORA], ids=["full", "lora"])
def test_a_stray_adapter_is_reported_and_not_attached(project: Path, tuning: Any) -> None:
    base = checkpoint(project)
    plain = run(project, spec(output="plain", tuning=tuning))
    add_adapter(base, base)
    reporter = run(project, spec(tuning=tuning))
    [warning] = set(reporter.warnings) - set(plain.warnings)
    assert warning.startswith(f"{base / 'adapter_config.json'} is ignored: the directory holds a whole model")
    assert "mft merge" in warning
    dry = run(project, spec(tuning=tuning), dry_run=True)
    assert warning in dry.warnings
    assert comparable(metrics(project / "run")) == comparable(metrics(project / "plain"))
    file = "model.safetensors" if tuning == "full" else "adapter_model.safetensors"
    mine, expected = (load_file(project / name / "model" / file) for name in ("run", "plain"))
    assert mine.keys() == expected.keys()
    assert all(torch.equal(mine[key], tensor) for key, tensor in expected.items())


def test_every_loader_leaves_a_stray_adapter_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = checkpoint(project)
    expected = AutoModelForCausalLM.from_pretrained(base)(IDS).logits
    add_adapter(base, base)
    with pytest.warns(mftkit.MftWarning, match=r"adapter_config.json is ignored"):
        model, _ = mftkit.load_model(base)
    assert torch.equal(model(IDS).logits, expected)
    with pytest.raises(
        mftkit.MftError, match=r"nothing to merge: .* is a whole model, and the adapter_config.json"
    ):
        merge(base, project / "merged")
    assert main(["complete", str(base), "def sort", "--max-new-tokens", "2"]) == 0
    assert "adapter_config.json is ignored" in " ".join(capsys.readouterr().err.split())
    # An adapter in a separate directory is used as before, also if the model that it names has a stray one.
    left = project / "left"
    with pytest.warns(mftkit.MftWarning, match=r"adapter_config.json is ignored"):
        tuned, _ = mftkit.load_model(left)
    assert not torch.allclose(tuned(IDS).logits, expected)
    reporter = Kept()
    merge(left, project / "merged", reporter)
    assert len([line for line in reporter.warnings if "is ignored" in line]) == 1
    assert torch.allclose(mftkit.load_model(project / "merged")[0](IDS).logits, tuned(IDS).logits, atol=1e-5)


def test_a_stray_adapter_beside_a_converted_checkpoint_is_reported(project: Path) -> None:
    from checkpoints import CHECKPOINTS

    shutil.copytree(CHECKPOINTS / "qwen1", project / "base")
    plain, _ = mftkit.load_model(project / "base")
    (project / "base" / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"})
    )
    reporter = Kept()
    weights = project / "base" / "model.safetensors"
    found = weights.is_file() or any((project / "base").glob("pytorch_model*.bin"))
    assert found
    convert(str(project / "base"), project / "native", reporter)
    assert any("is ignored" in line for line in reporter.warnings)
    assert torch.equal(mftkit.load_model(project / "native")[0](IDS).logits, plain(IDS).logits)


@pytest.mark.parametrize(
    ("family", "surplus"),
    [("gemma3_text", ("<image_soft_token>",)), ("llama", ("<PRE>", "<MID>", "<SUF>", "<EOT>"))],
)
def test_surplus_tokens_that_no_sample_uses_are_a_note(
    project: Path, family: str, surplus: tuple[str, ...]
) -> None:
    words = tokenizer(*surplus)
    changes = {"head_dim": 8, "sliding_window": 16} if family == "gemma3_text" else {}
    checkpoint(project, family, words, vocab=len(words) - len(surplus), **changes)
    for options in ({"dry_run": True}, {}):
        notes = run(project, spec(), **options).notes
        assert f"so none for {len(surplus)} token" in notes
        assert "no sample contains one" in notes
        assert surplus[0] in notes
    size = json.loads((project / "run" / "model" / "config.json").read_text())["vocab_size"]
    assert size == len(words) - len(surplus)
    run(project, spec(output="adapter", tuning=LORA))


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_surplus_token_in_a_text_is_refused_with_its_place(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    words = tokenizer()
    words.add_tokens(["<extra>"])
    checkpoint(project, "llama", words, vocab=len(words) - 1)
    lines = [{"text": f"def sort(value{i}): pass"} for i in range(9)]
    lines[4]["text"] += "<extra>"
    write_rows(project / "data" / "big.jsonl", lines)
    given = spec(tasks=[{"name": "big", "train": ["data/big.jsonl"], "valid": 0, "format": "text"}])
    (project / "spec.json").write_text(json.dumps(given))
    assert main(["run", str(project / "spec.json"), *arguments]) == 2
    error = capsys.readouterr().err
    assert f"big.jsonl:5: the sample contains the token <extra> (id {len(words) - 1})" in error
    assert "remove it from the data" in error
    assert "Traceback" not in error


def test_a_control_token_without_a_row_is_refused_with_the_chat_format(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tokenizer("<|im_start|>", "<|im_end|>", template=CHATML)
    checkpoint(project, "llama", words, vocab=len(words) - 2)
    (project / "spec.json").write_text(json.dumps(spec()))
    assert main(["run", str(project / "spec.json"), "--dry-run"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "big.jsonl:1: the sample contains the token <|im_start|>" in error
    assert "it comes from the chat format" in error
    run(project, spec(chat={"format": "markers"}))


@pytest.mark.parametrize("tuning", ["full", LORA], ids=["full", "lora"])
def test_a_pad_token_without_a_row_is_replaced(project: Path, tuning: Any) -> None:
    words = tokenizer("<|padding|>")
    words.pad_token = "<|padding|>"
    checkpoint(project, "llama", words, vocab=len(words) - 1)
    run(project, spec(tuning=tuning, tokenization="dynamic-padding"))
    saved = AutoTokenizer.from_pretrained(project / "run" / "model")
    rows_of = AutoModelForCausalLM.from_pretrained(project / "base").get_input_embeddings().num_embeddings
    if tuning != "full":
        assert saved.pad_token_id < rows_of


TABLES: dict[str, dict[str, Any]] = {
    "gpt2": {**GPT, "n_positions": 24},
    "gpt_bigcode": {**GPT, "n_positions": 24},
    "codegen": {**GPT, "n_positions": 24, "n_ctx": 24, "rotary_dim": 4},
    "opt": {**TINY, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 24},
    "mpt": {"pad_token_id": 0, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 24},
}


@pytest.mark.parametrize(
    ("family", "mode", "arguments"),
    [
        *((family, mode, ()) for family in TABLES for mode in ("pack", "dynamic-padding")),
        ("gpt2", "pack", ("--dry-run",)),
    ],
)
def test_a_sample_beyond_the_positions_is_refused_in_every_family(
    project: Path, capsys: pytest.CaptureFixture[str], family: str, mode: str, arguments: tuple[str, ...]
) -> None:
    checkpoint(project, family, **TABLES[family])
    (project / "spec.json").write_text(json.dumps(spec(tokenization=mode)))
    assert main(["run", str(project / "spec.json"), *arguments]) == 2
    error = capsys.readouterr().err
    assert "but this model has 24 learned positions; set max_length to at most 24" in " ".join(error.split())
    assert "max_length: a sample has" in error
    assert not (project / "run").exists()


@pytest.mark.parametrize("family", ["gpt2", "codegen", "opt", "mpt"])
def test_samples_within_the_positions_train(project: Path, family: str) -> None:
    checkpoint(project, family, **TABLES[family])
    write_rows(
        project / "data" / "big.jsonl", [{"text": f"def sort_{i}(value): return value"} for i in range(40)]
    )
    tasks = [{"name": "big", "train": ["data/big.jsonl"], "valid": 0.2, "format": "text"}]
    run(project, spec(max_length=24, tokenization="dynamic-padding", tasks=tasks))


@pytest.mark.parametrize(
    ("tokenization", "text"),
    [
        ("padding", "rows are padded to 96 tokens"),
        ({"name": "pack", "options": {"attention": "shared"}}, "a packed row has up to 96"),
    ],
)
def test_rows_longer_than_every_sample_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str], tokenization: Any, text: str
) -> None:
    checkpoint(project, "gpt2", **(TABLES["gpt2"] | {"n_positions": 90}))
    write_rows(project / "data" / "big.jsonl", [{"text": f"sort {i}"} for i in range(60)])
    tasks = [{"name": "big", "train": ["data/big.jsonl"], "valid": 0, "format": "text"}]
    (project / "spec.json").write_text(json.dumps(spec(tokenization=tokenization, tasks=tasks)))
    assert main(["run", str(project / "spec.json"), "--dry-run"]) == 2
    assert f"max_length: {text}" in capsys.readouterr().err
    run(project, spec(tokenization="dynamic-padding", tasks=tasks))


def test_samples_beyond_the_positions_of_a_rotary_model_are_counted(project: Path) -> None:
    checkpoint(project, max_position_embeddings=40)
    for options in ({"dry_run": True}, {}):
        notes = run(project, spec(), **options).notes
        [note] = [line for line in notes.splitlines() if "longer than the 40 positions" in line]
        assert "samples are longer" in note
        assert "big.jsonl:" in note
    checkpoint(project, max_position_embeddings=96)
    assert "positions" not in run(project, spec(output="fits")).notes


SCALED: list[dict[str, Any]] = [
    {"family": "phi3", "max_position_embeddings": 256, "original_max_position_embeddings": 32,
     "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.5, 2.0, 4.0, 8.0]}},
    {"max_position_embeddings": 40, "rope_parameters": {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 1e4}},
]  # fmt: skip


@pytest.mark.parametrize("changes", SCALED)
def test_losses_do_not_depend_on_how_samples_are_batched(project: Path, changes: dict[str, Any]) -> None:
    base = checkpoint(project, **changes)
    for task, count in (("big", 24), ("small", 10)):  # fewer, for micro-batches of one row
        write_rows(project / "data" / f"{task}.jsonl", rows(task, count))
    found = []
    for number, (mode, size) in enumerate(
        [("pack", 1), ("pack", 4), ("dynamic-padding", 1), ("dynamic-padding", 4)]
    ):
        training = {
            "learning_rate": 1e-6,
            "min_learning_rate": 0,
            "batch_size": 400,
            "micro_batch_size": size,
            "max_steps": 1,
        }
        given = spec(output=f"run{number}", tokenization=mode, training=training)
        reporter = run(project, given)
        assert "is fixed for the run as at max_length (96)" in reporter.notes
        lines = metrics(project / f"run{number}")
        found.append([line["tasks"][task]["loss"] for line in lines[:2] for task in ("big", "small")])
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)
    assert "is fixed for the run" in run(project, spec(), dry_run=True).notes
    before, after = (json.loads((p / "config.json").read_text()) for p in (base, project / "run0" / "model"))
    for key in (
        "rope_parameters",
        "rope_scaling",
        "max_position_embeddings",
        "original_max_position_embeddings",
    ):
        assert before.get(key) == after.get(key)
