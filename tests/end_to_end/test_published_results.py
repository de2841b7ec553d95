"""Results with their cards, and on a hub: a stub on the loopback interface that speaks the hub's endpoints."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import ModelCard, constants

import mftkit
from hub_stub import Hub, hub
from mftkit.cli import main
from mftkit.display.next_steps import next_steps
from mftkit.reporting.outcome import Outcome
from small_runs import metrics, rows, small_spec, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

# of huggingface_hub's own requests
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full model, and an adapter on another run's model, of a few steps each."""
    directory = tmp_path_factory.mktemp("published")
    write_rows(directory / "data" / "big.jsonl", rows("big", 40))
    write_rows(directory / "data" / "small.jsonl", rows("small", 20))
    short: dict[str, Any] = {"training": {"max_steps": 2, "evaluate_every": 1}}
    base = directory / "full" / "model"
    for spec in (
        small_spec(name="full", output="full", **short),
        small_spec(
            name="adapter", output="adapter", model={"path": str(base)}, tuning={"method": "lora"}, **short
        ),
    ):
        mftkit.run(mftkit.load_spec(spec, directory=directory))
    return directory


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)  # early versions read it there, too
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
        yield running


def run_snippet(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(result)
    found = re.search(r"```python\n(.*?)```", (result / "README.md").read_text("utf-8"), re.DOTALL)
    assert found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about themselves
        exec(found[1], {})


@pytest.mark.parametrize("result", ["full/model", "adapter/model"])
def test_the_code_in_a_card_runs(
    project: Path, result: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = project / result
    run_snippet(place, monkeypatch)
    assert capsys.readouterr().out.strip()
    card = ModelCard.load(place / "README.md")
    assert card.data.to_dict()["library_name"] == ("transformers" if "full" in result else "peft")
    assert str(project) not in str(card)
    assert "Model ID" not in str(card)


def test_lines_have_the_time_and_the_memory(project: Path) -> None:
    lines = [line for line in metrics(project / "full") if line["event"] != "end"]
    stamps = [line["time"] for line in lines]
    assert stamps == sorted(stamps)
    for line in lines:
        assert line["time"].endswith("+00:00")
        assert line["seconds"] > 0
        assert line["peak_memory_bytes"] > 2**20
    assert "peak memory of the process" in (project / "full" / "report.html").read_text("utf-8")


def test_a_full_model_is_pushed(project: Path, stub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--private", "--license", "mit", "--revision", "dev", "--message", "First"]
    assert main(["push", f"{project / 'full'}@2", "me/full", *options]) == 0  # the step of model/
    [commit] = stub.commits
    assert (commit["repo"], commit["revision"], commit["message"]) == ("me/full", "dev", "First")
    assert stub.branches == ["dev"]
    assert stub.created[0]["name"] == "full"
    assert "Bearer hf_test" in stub.tokens
    own = {file.name for file in (project / "full" / "model").iterdir()}
    assert set(commit["files"]) == own
    assert commit["files"]["model.safetensors"] == (project / "full/model/model.safetensors").read_bytes()
    card = ModelCard(commit["files"]["README.md"].decode())
    assert card.data.to_dict()["license"] == "mit"
    assert 'model_id = "me/full"' in card.content
    assert "Fill in" not in card.content
    assert capsys.readouterr().out.startswith(f"{stub.endpoint}/me/full/commit/")
    assert "license: unknown" in (project / "full/model/README.md").read_text("utf-8")


def test_an_adapter_on_a_local_base_is_pushed_merged_or_not_at_all(
    project: Path, stub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(project / "adapter"), "me/adapter"]) == 2
    message = capsys.readouterr().err
    assert "nobody else could load the adapter" in message
    assert "--merged" in message
    assert stub.requests == []
    assert main(["push", str(project / "adapter"), "me/adapter", "--merged"]) == 0
    [commit] = stub.commits
    assert "adapter_config.json" not in commit["files"]
    card = commit["files"]["README.md"].decode()
    assert "library_name: transformers" in card
    assert "merged into it" in card
    assert str(project) not in card


def test_an_adapter_on_a_base_of_the_hub_names_it(project: Path, stub: Hub, tmp_path: Path) -> None:
    place = tmp_path / "adapter"
    shutil.copytree(project / "adapter" / "model", place)
    snapshot = tmp_path / "models--org--base" / "snapshots" / "0123"
    config = json.loads((place / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(snapshot)
    (place / "adapter_config.json").write_text(json.dumps(config))
    (place / "notes.log").write_text("mine")
    pushed = mftkit.push(place, "me/adapter")
    files = stub.commits[0]["files"]
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "org/base"
    assert "base_model: org/base" in files["README.md"].decode()
    assert pushed.repo == "me/adapter"
    assert "notes.log" not in pushed.files


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/repos/create", 401, "does not accept the token"),
        ("/api/repos/create", 403, "may not write to me/full"),
        ("/api/repos/create", 404, "was not found"),
        ("/api/repos/create", 503, "refused it"),
        ("/blobs/", 403, "may not write to me/full"),  # in the middle of the upload
    ],
)
def test_a_refusal_is_one_message(
    project: Path, stub: Hub, capsys: pytest.CaptureFixture[str], path: str, status: int, message: str
) -> None:
    stub.status = {path: status}
    assert main(["push", str(project / "full"), "me/full"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert "hf_test" not in error


def test_mistakes(
    project: Path,
    stub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    full = str(project / "full")

    def error(*arguments: str) -> str:
        assert main(["push", *arguments]) == 2
        return capsys.readouterr().err

    assert "no name of a repository" in error(full, "me/a b")
    assert "there is no directory" in error(str(tmp_path / "nothing"), "me/x")
    assert "already a whole model" in error(full, "me/x", "--merged")
    pickled = tmp_path / "pickled"
    shutil.copytree(project / "full" / "model", pickled)
    (pickled / "training_args.bin").write_bytes(b"")
    assert "may run code when they are loaded: training_args.bin" in error(str(pickled), "me/x")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in error(full, "me/x")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in error(full, "me/x")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    assert "there is no token" in error(full, "me/x")
    assert stub.commits == []


@pytest.mark.parametrize(("name", "merges"), [("full", False), ("adapter", True)])
def test_what_to_do_next_fits_the_result(project: Path, name: str, merges: bool) -> None:
    steps = dict(next_steps(project / name, Outcome("finished", 2, 2)))
    assert steps["report"].endswith(f"{name}/report.html")
    assert steps["try the model"] == f"mft chat {project / name}"
    assert any("mft merge" in how for how in steps.values()) == merges
    push = f"mft push {project / name} USER/NAME"  # the adapter's base is on this disk alone
    assert steps["publish it on the Hugging Face Hub"] == (f"{push} --merged" if merges else push)


def test_an_unfinished_run_is_resumed(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "a run"
    place.mkdir()
    (place / "spec.json").write_text("{}")
    assert next_steps(place, Outcome("interrupted", 2, None)) == [("resume", f"mft run '{place}'")]
    [(what, _)] = next_steps(place, Outcome("failed", 2, None, error="x"))
    assert what == "once the cause is fixed, continue from the start"
    (place / "checkpoints" / "step-00000001").mkdir(parents=True)
    (place / "environment.json").write_text('{"processes": 2}')
    [(what, how)] = next_steps(place, Outcome("failed", 2, None, error="x"))
    assert "from the last checkpoint" in what
    assert how.endswith("--processes 2")


def test_a_model_of_plain_texts_completes(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert ("try the model", f'mft complete {tmp_path} "def "') in next_steps(
        tmp_path, Outcome("finished", 2, 2)
    )
