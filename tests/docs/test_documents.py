"""What the documents say, against the program."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

import mftkit
from mftkit import spec
from mftkit.plugins import installed, kinds
from mftkit.spec.on_resuming import marked_keys
from mftkit.spec.parameter_groups import ParameterGroupSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README_COMMANDS = (
    "pip install -c constraints.txt . && mft run examples/quickstart.json",
    "pip install -c constraints.txt '.[test]' && pytest",
)
SECTIONS: dict[str, Any] = {
    "Top level": spec.Spec,
    "model": spec.ModelSpec,
    "`tokenizer` as an object": spec.TrainBpe,
    "tasks": spec.TaskSpec,
    "`train` as an object": spec.HubDataset,
    "data": spec.DataSpec,
    "mixing": spec.MixingSpec,
    "chat": spec.ChatSpec,
    "`markers`": spec.ChatMarkers,
    "training": spec.TrainingSpec,
    "`parameter_groups[]`": ParameterGroupSpec,
    "`early_stopping`": spec.EarlyStoppingSpec,
    "evaluate": spec.EvaluateSpec,
    "evaluation": spec.EvaluationSpec,
}
SMALLEST = {
    "name": "smallest",
    "model": {"path": "model"},
    "tasks": [{"name": name, "train": ["a.jsonl"]} for name in ("code-comment", "code-repair")],
}
MADE_AT_BUILD = ("plugin-catalogue.md", "api.md", "schema/spec.json")
"""Pages of the site, see docs/site_pages.py."""
SAID_IN_WORDS = {
    "name",
    "output",
    "tuning",
    "tokenization",
    "loss",
    "balancer",
    "adapter",
    "engine",
    "optimizer",
    "scheduler",
}
"""Keys whose default follows from something else."""


def blocks(path: Path, language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def tables() -> dict[str, dict[str, list[str]]]:
    """Of docs/spec.md: what stands above each table of keys, to its rows by key."""
    found: dict[str, dict[str, list[str]]] = {}
    title = ""
    for line in (ROOT / "docs/spec.md").read_text("utf-8").split("\n"):
        if line.startswith("## ") or line.endswith(":"):
            title = line.removeprefix("## ").removesuffix(":")
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            found.setdefault(title, {})[cells[0].strip("` ")] = cells
    return found


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_of_the_spec_is_documented_with_its_default(title: str) -> None:
    rows, model = tables()[title], SECTIONS[title]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert list(rows) == list(fields), "the keys, in the model's order"
    for key, field in fields.items():
        if key in SAID_IN_WORDS and rows[key][2] != "required":
            continue
        if field.is_required():
            assert rows[key][2] == "required", key
            continue
        default = field.get_default(call_default_factory=True)
        if key == "format" and title == "tasks":
            default = installed.registry().default(kinds.TASK_FORMAT)
        documented = json.loads(rows[key][2].strip("`"))
        assert documented == ({} if isinstance(default, BaseModel) else default), key


def test_the_keys_that_may_change_on_resuming_are_those_that_are_marked() -> None:
    schema = spec.Spec.model_json_schema()
    sections: dict[str, Any] = {
        "": schema,
        "model.": "ModelSpec",
        "tasks[].": "TaskSpec",
        "data.": "DataSpec",
        "training.": "TrainingSpec",
        "evaluation.": "EvaluationSpec",
    }
    marked = {
        f"{prefix}{key}": meaning
        for prefix, section in sections.items()
        for key, meaning in marked_keys(schema["$defs"][section] if isinstance(section, str) else section)
    }
    text = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    table = text.split("| key | on resuming |")[1].split("\n\n")[0]
    documented = dict(re.findall(r"^\| `(.+?)` \| (.+?) \|$", table, re.MULTILINE))
    assert documented == marked


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
@pytest.mark.parametrize("language", ["json", "yaml"])
def test_every_spec_and_part_of_one_in_a_document_can_be_read(
    document: Path, language: str, tmp_path: Path
) -> None:
    for number, block in enumerate(blocks(document, language)):
        found = json.loads(block) if language == "json" else YAML(typ="safe").load(block)
        keys = set(found) if isinstance(found, dict) else set()
        if "tasks" in keys:
            path = tmp_path / f"{number}.{language}"
            path.write_text(block, "utf-8")
            assert mftkit.load_spec(path).tasks
        elif keys and keys <= set(spec.Spec.model_fields) - {"plugins"}:  # files that the page describes
            assert mftkit.load_spec({**SMALLEST, **found}, directory=tmp_path).tasks


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_in_documents_is_code(document: Path) -> None:
    for block in blocks(document, "python"):
        compile(block, str(document), "exec")
    for block in blocks(document, "toml"):
        assert tomllib.loads(block)["project"]["entry-points"]["mft"]


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", document.read_text("utf-8")):
        path = (document.parent / target).resolve() if target else document
        if target in MADE_AT_BUILD and document.parent.name == "docs":
            continue
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_two_commands_stand_in_the_readme() -> None:
    assert {block.strip() for block in blocks(ROOT / "README.md", "sh")} >= set(README_COMMANDS)


def test_the_readme_names_every_built_in_component_and_its_default() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    built_in = [row for row in installed.registry().plugins if row.distribution == "mftkit"]
    assert built_in
    for row in built_in:
        assert row.status == "ok", row.error
        assert f"`{row.name}`{' (default)' if row.default else ''} |" in readme, row.name


def loaded(block: str, **modules: ModuleType) -> ModuleType:
    module = ModuleType("documented")
    exec(compile(block, "documented", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("document", ["README.md", "docs/plugins.md"])
def test_the_documented_loss_is_a_loss(document: str) -> None:
    torch = pytest.importorskip("torch")
    [block] = [found for found in blocks(ROOT / document, "python") if "TokenSquare" in found]
    loss = loaded(block).TokenSquare(loaded(block).TokenSquare.Options(scale=2.0))
    task = torch.tensor([0, 0, 1])
    tokens = mftkit.Tokens(torch.tensor([-1.0, -2.0, -3.0]), task, task, torch.tensor([0, 1]), 2, 2)
    counts = torch.tensor([2.0, 1.0])
    totals = mftkit.Totals(loss.statistics(tokens), counts, counts, counts > 0)
    assert loss.task_losses(totals).tolist() == [5.0, 18.0]


def test_the_documented_balancer_is_a_balancer() -> None:
    torch = pytest.importorskip("torch")
    [block] = [found for found in blocks(ROOT / "docs/plugins.md", "python") if "class Slowest" in found]
    cls = loaded(block).Slowest
    tasks = (mftkit.TaskInfo("a"), mftkit.TaskInfo("b"))
    one, other = cls(cls.Options(every=5), tasks), cls(cls.Options(), tasks)
    assert (one.needs_validation, one.weights().tolist()) == (5, [1.0, 1.0])
    for step, valid in [(5, [4.0, 4.0]), (6, None), (10, [1.0, 3.0])]:
        losses = None if valid is None else torch.tensor(valid, dtype=torch.float64)
        one.observe(step, torch.zeros(2), losses)
    assert one.weights().tolist() == [0.25, 0.75]
    other.load_state_dict(one.state_dict())
    assert other.weights().tolist() == [0.25, 0.75]


def test_the_plugin_page_has_every_kind_with_its_hook_interface_and_suite() -> None:
    page = (ROOT / "docs/plugins.md").read_text("utf-8")
    for kind in kinds.KINDS:
        assert f"| `{kind.name}` | `{kind.hook}` | `mftkit.{kind.interface.__name__}` |" in page
        assert f"| `{kind.suite.rpartition(':')[2]}` |" in page
