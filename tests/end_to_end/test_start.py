"""Runs that start from other weights, and the models of their checkpoints: the same numbers, and nothing silently else."""

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mftkit
from mftkit.base.quiet import without_peft_noise
from mftkit.cli import main
from mftkit.reporting.reporter import Reporter
from small_runs import metrics, rows, small_spec, write_rows

ADAPTER = {"method": "lora", "rank": 4, "alpha": 16, "dropout": 0.1}
TRAINING = {
    "max_steps": 4, "batch_size": 8, "micro_batch_size": 8, "learning_rate": 2e-2, "evaluate_every": 2,
    "checkpoint_every": 2, "keep_checkpoints": 9, "log_every": 2,
    "best_per_task": False,
}  # fmt: skip


def spec(**changes: Any) -> Any:
    return small_spec(training=TRAINING | changes.pop("training", {}), **changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two finished runs, ``full`` and ``lora``."""
    project = tmp_path_factory.mktemp("start")
    write_rows(project / "data" / "big.jsonl", rows("big", 40))
    write_rows(project / "data" / "small.jsonl", rows("small", 20))
    for name, tuning in (("full", "full"), ("lora", ADAPTER)):
        (project / f"{name}.json").write_text(json.dumps(spec(output=name, tuning=tuning)))
        assert mftkit.run(mftkit.load_spec(project / f"{name}.json")).reason == "finished"
    return project


def start(
    project: Path, name: str, output: Path, reference: str | Path, *changes: str, **options: Any
) -> Path:
    """Run a spec of ``runs`` from other weights; return the run directory."""
    sets = [f"output={output}", f"model.start_from={reference}", *changes]
    assert mftkit.run(mftkit.load_spec(project / f"{name}.json", sets), **options).reason == "finished"
    return output


def losses(run: Path, step: int) -> Any:
    return next(line["tasks"] for line in metrics(run) if (line["event"], line["step"]) == ("valid", step))


def unfinished(run: Path, step: int, copy: Path) -> Path:
    """A copy of a run as it was when the checkpoint of a step was its newest."""
    shutil.copytree(run, copy)
    for result in ("model", "best"):
        shutil.rmtree(copy / result, ignore_errors=True)
    for checkpoint in (copy / "checkpoints").iterdir():
        if int(checkpoint.name.removeprefix("step-")) > step:
            shutil.rmtree(checkpoint)
    lines = [
        json.dumps(line) + "\n" for line in metrics(run) if line["event"] != "end" and line["step"] <= step
    ]
    (copy / "metrics.jsonl").write_text("".join(lines))
    return copy


IDS = torch.arange(3, 27).view(2, 12)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


@pytest.mark.parametrize(
    ("name", "reference", "exact"),
    [("full", "full@2", True), ("lora", "full@2", True), ("lora", "lora@2", True), ("full", "lora@2", False)],
)
def test_the_first_validation_is_that_of_the_reference(
    runs: Path, tmp_path: Path, name: str, reference: str, exact: bool
) -> None:
    run = start(runs, name, tmp_path / "run", runs / reference)
    before, after = losses(runs / reference.partition("@")[0], 2), losses(run, 0)
    for task in before:
        assert after[task]["tokens"] == before[task]["tokens"]
        assert after[task]["loss"] == (
            before[task]["loss"] if exact else pytest.approx(before[task]["loss"], rel=1e-6)
        )
    recorded = json.loads((run / "environment.json").read_text())["start"]
    assert recorded["weights"] == str(runs / reference)
    assert json.loads((run / "spec.json").read_text())["model"]["start_from"] == str(runs / reference)
    # a full model needs no base of its own, an adapter on a checkpoint does
    assert (run / "base").is_dir() == ((name, reference) == ("lora", "full@2"))


def test_a_new_adapter_on_a_merged_one_needs_nothing_but_transformers_and_peft(
    runs: Path, tmp_path: Path
) -> None:
    run = start(runs, "lora", tmp_path / "run", runs / "lora@2", "model.start_adapter=merge", "tuning.rank=2")
    assert main(["merge", f"{runs / 'lora'}@2", "--output", str(tmp_path / "merged")]) == 0
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(run / "base")), logits(merged))
    assert losses(run, 0)["big"]["loss"] == pytest.approx(losses(runs / "lora", 2)["big"]["loss"], rel=1e-6)
    with without_peft_noise():
        alone = peft.AutoPeftModelForCausalLM.from_pretrained(run / "model")
    assert AutoTokenizer.from_pretrained(run / "model").chat_template
    assert torch.equal(logits(alone), logits(mftkit.load_model(run)[0]))
    assert (logits(alone) - logits(merged)).abs().max() > 1e-4
    shutil.copytree(run, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(run)
    assert torch.equal(logits(alone), logits(mftkit.load_model(tmp_path / "elsewhere" / "copy")[0]))


@pytest.fixture(scope="module")
def foreign(runs: Path) -> Path:
    """An adapter that plain peft has made on a model in a directory."""
    base = runs / "full" / "model"
    with without_peft_noise():
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"], use_rslora=True
        )
        tuned = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(std=0.1)
        tuned.save_pretrained(str(runs / "foreign"))
    return runs / "foreign"


def test_an_adapter_of_plain_peft_is_trained_further(runs: Path, foreign: Path, tmp_path: Path) -> None:
    like = ['tuning.targets=["v_proj", "q_proj"]', 'tuning.lora={"use_rslora": true}']
    still = ["training.max_steps=1", "training.learning_rate=1e-9", "training.min_learning_rate=0"]
    with without_peft_noise():
        plain = logits(peft.AutoPeftModelForCausalLM.from_pretrained(foreign))
    for method in ("lora", "qlora"):
        run = start(runs, "lora", tmp_path / method, foreign, *like, *still, f"tuning.method={method}")
        config = json.loads((run / "model" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == str(runs / "full" / "model")
        assert (logits(mftkit.load_model(run)[0]) - plain).abs().max() < 1e-5


def test_an_adapter_that_differs_is_refused_and_both_ways_are_named(
    runs: Path, foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", str(runs / "lora.json"), "--set", f"output={tmp_path / 'run'}"]
    for more, message in (
        (
            ["--from", str(foreign)],
            "use_rslora is True (of the tuning: None); its modules are q_proj, v_proj (of",
        ),
        (["--from", f"{runs / 'lora'}@2", "--set", "tuning.rank=2"], "rank is 4 (tuning.rank is 2)"),
    ):
        for dry in ([], ["--dry-run"]):
            assert main([*command, *more, *dry]) == 2
            error = capsys.readouterr().err
            assert message in error
            assert "set the tuning's options to those of the adapter; to merge it" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("full", ["--from", "{runs}/full@3"], "there are no weights of step 3; there are those of steps 2, 4"),
        ("full", ["--from", "{runs}/full@2", "--set", "model.config.hidden_size=48"], "differ in hidden_size 48 and 32"),
        ("full", ["--from", "{runs}/full@2", "--set", "output={runs}/full"], "is the run in the spec's own output"),
        ("full", ["--from", "{runs}/lora@2", "--set", "output={runs}/full"], "holds a run that did not start from"),
        ("full", ["--from", "{runs}/full", "--set", "model.start_adapter=merge"], "holds a whole model, not an adapter"),
        ("full", ["--from", "{runs}/lora", "--set", "model.start_adapter=continue"], "the tuning full makes no adapter"),
        ("full", ["--set", "model.start_adapter=merge"], "is only for a run with start_from"),
        ("full", ["--set", "model.revision=v1"], "is only for a hub id as model.path"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    changes: list[str],
    message: str,
) -> None:
    given = [change.format(runs=runs) for change in changes]
    output = [] if any("output=" in each for each in given) else ["--set", f"output={tmp_path / 'run'}"]
    assert main(["run", str(runs / f"{name}.json"), *output, *given]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "reference", "changes"),
    [
        ("full", "full@last", []),
        ("full", "lora@last", []),
        ("lora", "lora@last", []),
        ("lora", "lora@last", ["model.start_adapter=merge"]),
    ],
    ids=["model", "merged", "continued", "stacked"],
)
def test_it_resumes_by_itself_even_if_the_reference_is_gone(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reference: str, changes: list[str]
) -> None:
    source = tmp_path / "source"
    unfinished(runs / reference.partition("@")[0], 2, source)
    run = start(runs, name, tmp_path / "run", f"{source}@last", *changes)
    whole = metrics(run)
    again = unfinished(run, 2, tmp_path / "again")
    shutil.rmtree(run)
    again.rename(run)
    shutil.rmtree(source / "checkpoints")  # what "last" meant is gone
    warnings: list[str] = []
    reporter = Reporter()
    monkeypatch.setattr(reporter, "warn", warnings.append)
    assert mftkit.run(mftkit.load_spec(run / "spec.json"), reporter=reporter).reason == "finished"
    assert losses(run, 4) == next(x["tasks"] for x in whole if (x["event"], x["step"]) == ("valid", 4))
    assert any("The run resumes from its own checkpoint" in each for each in warnings)


def test_it_resumes_if_the_tokenizer_is_gone_with_the_result(runs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(runs / "lora", source)
    run = start(runs, "lora", tmp_path / "run", str(source))
    again = unfinished(run, 2, tmp_path / "again")
    (source / "model").rename(source / "renamed")  # the adapter, with its tokenizer beside it
    assert mftkit.run(mftkit.load_spec(again / "spec.json")).reason == "finished"


def test_it_resumes_if_the_model_that_it_started_from_is_gone(runs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(runs / "full" / "model", source)
    (source / "generation_config.json").write_text(json.dumps({"temperature": 0.5, "do_sample": True}))
    whole, adapter = (
        start(runs, "full", tmp_path / "full", source),
        start(runs, "lora", tmp_path / "l", source),
    )
    again = unfinished(whole, 2, tmp_path / "again")
    source.rename(tmp_path / "moved")
    assert mftkit.run(mftkit.load_spec(again / "spec.json")).reason == "finished"
    assert losses(again, 4) == losses(whole, 4)
    for name in ("model.safetensors", "config.json", "generation_config.json"):
        assert (again / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()
    longer = ["training.max_steps=5"]  # an adapter's checkpoints lack the weights below it
    with pytest.raises(mftkit.MftError, match=r"not there any more.* model\.start_from=DIR"):
        mftkit.run(mftkit.load_spec(adapter / "spec.json", longer))
    moved = [*longer, f"model.start_from={tmp_path / 'moved'}"]
    assert mftkit.run(mftkit.load_spec(adapter / "spec.json", moved)).reason == "finished"


def test_checkpoints_are_models_like_results(runs: Path, tmp_path: Path) -> None:
    for name in ("full", "lora"):
        best = json.loads((runs / name / "metrics.jsonl").read_text().splitlines()[-1])["best_step"]
        result, tokenizer = mftkit.load_model(runs / name / "model")
        for reference in (runs / name, f"{runs / name}@best", f"{runs / name}@{best}"):
            model, again = mftkit.load_model(reference)
            assert torch.equal(logits(model), logits(result))
            assert tokenizer is not None
            assert again is not None
            assert again.chat_template == tokenizer.chat_template
        copy = unfinished(runs / name, 2, tmp_path / name)
        model, _ = mftkit.load_model(copy)
        assert torch.equal(logits(model), logits(mftkit.load_model(f"{runs / name}@2")[0]))
        assert (logits(model) - logits(result)).abs().max() > 0 or best == 2


def test_the_commands_take_checkpoints(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = unfinished(runs / "lora", 2, tmp_path / "lora")
    assert main(["merge", str(copy), "--output", str(tmp_path / "merged")]) == 0
    assert "the run has not finished: its newest checkpoint is used, of step 2" in capsys.readouterr().err
    merged, tuned = mftkit.load_model(tmp_path / "merged")[0], mftkit.load_model(copy)[0]
    assert (logits(merged) - logits(tuned)).abs().max() < 1e-4
    assert main(["complete", f"{runs / 'full'}@2", "def", "--max-new-tokens", "2"]) == 0
    assert main(["merge", f"{runs / 'full'}@2", "--output", str(tmp_path / "none")]) == 2
    assert "nothing to merge" in capsys.readouterr().err
    affinity = ["affinity", str(runs / "lora.json"), "--batches", "3", "--samples", "1"]
    states = []
    for reference in (f"{runs / 'lora'}@2", str(runs / "full" / "model")):
        assert main([*affinity, "--run", reference, "--output", str(tmp_path / "out")]) == 0
        states.append(json.loads((tmp_path / "out" / "affinity.json").read_text())["state"])
    assert states[0].endswith("step-00000002")
    assert states[1] == str(runs / "full" / "model")


def test_the_reference_gives_the_model_where_the_spec_names_none(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = json.loads((runs / "lora.json").read_text())
    for reference, code, message in (("full@2", 0, "no errors found"), ("full@3", 2, "no weights of step 3")):
        (runs / "short.json").write_text(
            json.dumps(given | {"model": {"start_from": reference}, "output": "short"})
        )
        assert main(["spec", "check", str(runs / "short.json")]) == code
        printed = capsys.readouterr()
        assert message in printed.out + printed.err
    assert main(["run", str(runs / "short.json"), "--set", "model.start_from=full@2", "--dry-run"]) == 0
    assert f"the run starts from {runs / 'full'}@2, with a fresh optimizer" in capsys.readouterr().out
    assert main(["data", "show", str(runs / "short.json"), "--set", "model.start_from=full@2"]) == 0
    assert not (runs / "short").exists()
