"""Two rules of the house: built-ins have no privilege, and the front door is light."""

from __future__ import annotations

import ast
import functools
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from commands import mft
from mftkit.plugins.installed import registry

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
BUILT_IN = sorted(
    point.name for point in entry_points(group="mft") if point.dist and point.dist.name == "mftkit"
)
HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "numpy", "pyarrow")

ORDINARY = {"equal", "fixed", "full", "local", "mixed", "pack", "padding"}
"""Components whose names are English words that core may write in prose: only whole strings are looked at."""
EVERYDAY = {
    "auto", "chat", "constant", "cosine", "judge", "linear", "loss", "proportions", "temperature", "text",
}  # fmt: skip
"""Components whose names are words that core needs for other things."""
ALLOWED = {
    ("adapter_training.py", "adamw"),
    ("engine_training.py", "adamw"),
    ("pad_token.py", "fim"),
    ("output_layer.py", "lora"),
    ("earlier_defaults.py", "pack"),
    ("earlier_defaults.py", "mixed"),
    ("reasoning.py", "gpt-oss"),
    ("figures.py", "padding"),
    ("lines.py", "padding"),
    ("loop.py", "padding"),
}
"""Strings that mean something else: the key of metrics.jsonl for the share of positions that are padding; part
of the names of tokens; a key of the spec; torch's class; what was the default in an earlier version; the name
of a format of replies."""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "code",
    [
        "import mftkit; mftkit.hookimpl; mftkit.Loss; mftkit.Options; mftkit.__version__",
        "from mftkit.cli import main; assert main(['--help']) == 0",
        "from mftkit.cli import main; assert main(['run', '--help']) == 0",
        "from mftkit.cli import main; assert main(['plugins', 'list']) == 0",
        "from mftkit.cli import main; assert main(['plugins', 'list', '--json']) == 0",
    ],
)
def test_the_front_door_is_light(code: str) -> None:
    done = python(
        f"{code}\nimport sys; heavy = [m for m in {HEAVY} if m in sys.modules]; assert not heavy, heavy"
    )
    assert done.returncode == 0, done.stderr


def test_listing_plugins_imports_no_interface_and_the_help_no_metadata() -> None:
    listed = "from mftkit.cli import main; assert main(['plugins', 'list']) == 0; import sys"
    assert python(f"{listed}; assert 'mftkit.interfaces.component' not in sys.modules").returncode == 0
    shown = "from mftkit.cli import main; assert main(['--help']) == 0; import sys"
    assert python(f"{shown}; assert 'mftkit_registry.discovery' not in sys.modules").returncode == 0


def test_every_public_name_resolves() -> None:
    assert sorted(mftkit.__all__) == list(mftkit.__all__)
    assert set(mftkit.__all__) <= set(dir(mftkit))
    for name in mftkit.__all__:
        assert getattr(mftkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mftkit.nothing  # noqa: B018


def test_type_checkers_and_python_see_the_same_public_names() -> None:
    tree = ast.parse(Path(mftkit.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.asname: (str(node.module), alias.name) for node in imports for alias in node.names}
    assert typed.pop("testing") == ("mftkit", "testing")
    assert {*typed, "__version__"} == set(mftkit.__all__)
    for name, (module, original) in typed.items():
        assert original == name, "an alias would have two names"
        declared, found = getattr(importlib.import_module(str(module)), name), getattr(mftkit, name)
        assert found is declared or issubclass(found, declared), name


def test_all_built_ins_are_well() -> None:
    rows = [row for row in registry().plugins if row.distribution == "mftkit"]
    assert [row for row in rows if row.status != "ok"] == []
    assert {row.entry_point for row in rows} == set(BUILT_IN)


PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "loss": lambda name: {"loss": name},
    "balancer": lambda name: {"balancer": name},
    "mixer": lambda name: {"mixing": {"mixer": name}},
    "tokenization-mode": lambda name: {"tokenization": name},
    "tuning": lambda name: {"tuning": name},
    "model-adapter": lambda name: {"model": {"path": "org/model", "adapter": name}},
    "tracker": lambda name: {"trackers": [name]},
    "evaluator": lambda name: {"tasks": [{"name": "a", "train": "a", "evaluate": {"evaluators": [name]}}]},
    "callback": lambda name: {"callbacks": [name]},
    "data-generator": lambda name: {"tasks": [{"name": "a", "generator": name}]},
    "task-format": lambda name: {"tasks": [{"name": "a", "train": "a", "format": name}]},
    "data-filter": lambda name: {"tasks": [{"name": "a", "train": "a", "filters": [name]}]},
    "executor": lambda name: {
        "tasks": [
            {
                "name": "a",
                "train": "a",
                "filters": [{"name": "verification", "options": {"isolation": name}}],
            }
        ]
    },
    "engine": lambda name: {"engine": name},
    "optimizer": lambda name: {"training": {"optimizer": name}},
    "schedule": lambda name: {"training": {"scheduler": name}},
    "chat-model": lambda name: {
        "tasks": [{"name": "a", "generator": {"name": "code-exercises", "options": {"model": name}}}]
    },
}


@pytest.mark.parametrize("entry_point", BUILT_IN)
def test_without_a_built_in_the_program_starts_and_a_spec_that_names_it_is_refused(
    entry_point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = [row for row in registry().plugins if row.entry_point == entry_point and row.kind in PLACES]
    assert components
    monkeypatch.setenv("MFT_BLOCK_PLUGINS", entry_point)
    listed = mft("plugins", "list", "--json", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert {row["entry_point"]: row for row in json.loads(listed.stdout)}[entry_point]["status"] == "blocked"
    for row in components:
        spec = {
            "model": {"path": "org/model"},
            "tasks": [{"name": "a", "train": "a"}],
            **PLACES[row.kind](row.name),
        }
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        done = mft("spec", "check", "spec.json", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert f'unknown {row.kind} (given: "{row.name}")' in done.stderr
        assert f'"{entry_point}" of mftkit' in done.stderr


def test_without_any_built_in_a_new_process_starts() -> None:
    """Modules that are imported already prove nothing; here none is."""
    code = "from mftkit.cli import main; assert main(['plugins', 'list', '--json']) == 0"
    done = python(code, MFT_BLOCK_PLUGINS=",".join(BUILT_IN))
    assert done.returncode == 0, done.stderr
    rows = {row["entry_point"]: row["status"] for row in json.loads(done.stdout)}
    assert {rows[name] for name in BUILT_IN} == {"blocked"}


def sources() -> list[Path]:
    return sorted(path for floor in ("core", "registry") for path in (ROOT / floor).rglob("*.py"))


def words(path: Path) -> set[str]:
    """Every word of a file: in names, strings and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return {
        word.lower()
        for token in tokens
        for word in re.findall(r"[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*", token.string)
    }


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """The functions, imports and constants of a file, which several tests read."""
    kinds = (ast.FunctionDef, ast.ImportFrom, ast.Constant)
    return tuple(node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds))


def strings(path: Path) -> set[str]:
    return {
        node.value for node in nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_no_component_is_named_below_the_plugins() -> None:
    names = {row.name for row in registry().plugins if row.distribution == "mftkit" and row.kind in PLACES}
    names -= EVERYDAY
    assert names
    assert sources()
    distinctive = {spelling for name in names - ORDINARY for spelling in (name, name.replace("-", "_"))}
    # A file that holds none, of whatever is more than a word there, is not tokenized: that takes seconds.
    spelled = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(map(re.escape, distinctive))})(?![a-z0-9])")
    found = []
    for path in sources():
        tokenized = words(path) if spelled.search(path.read_text("utf-8").lower()) else set()
        hits = (strings(path) & names) | (tokenized & distinctive)
        found += [
            f"{path.relative_to(ROOT)}: {hit}" for hit in sorted(hits) if (path.name, hit) not in ALLOWED
        ]
    assert found == [], "\n".join(found)


SOURCES = sorted(path for root in ("registry", "core", "plugins") for path in (ROOT / root).rglob("*.py"))


def test_files_and_functions_stay_small() -> None:
    assert len(SOURCES) > 100
    large = []
    for path in SOURCES:
        if len(path.read_text("utf-8").splitlines()) > 400:
            large.append(f"{path.relative_to(ROOT)} has more than 400 lines")
        large += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has 60 lines or more"
            for node in nodes(path)
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
        ]
    assert large == [], "\n".join(large)


LATE = {
    "display/__init__.py": "rich is imported only when something is drawn",
    "models/native.py": "an adapter is chosen by its config without importing torch",
    "display/console.py": "the reporter of a terminal needs rich, the other does not",
    "plugins/__init__.py": "an old name, whose use imports what is installed",
}
"""Files outside the command line that import parts of core inside functions, with the reason."""


def test_parts_of_core_are_imported_inside_functions_only_for_a_light_start() -> None:
    found = set()
    core = ROOT / "core" / "mftkit"
    for path in core.rglob("*.py"):
        if path.parent.name == "cli":  # a command loads the engine when it runs
            continue
        for function in nodes(path):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mftkit"):
                        found.add(str(path.relative_to(core)))
    assert found == set(LATE)
