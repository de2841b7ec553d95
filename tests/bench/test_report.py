"""The common form of benchmarks, and the document that is made from what they find. Nothing is timed here."""

from __future__ import annotations

import ast
import importlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from documents import ROOT

NAN = float("nan")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def report() -> Any:
    return importlib.import_module("bench.report")


@pytest.fixture
def figure() -> Any:
    return importlib.import_module("bench.figures").Figure


def result(*figures: dict[str, Any], **changes: Any) -> dict[str, Any]:
    facts = {
        "question": "How fast?",
        "about": "",
        "machine": "a machine",
        "date": "2026-01-02",
        "versions": "torch 2",
    }
    return {**facts, "figures": list(figures), **changes}


def test_every_benchmark_has_the_common_form(report: Any) -> None:
    names = report.benchmarks()
    assert {"end_to_end", "growth"} <= set(names)
    for name in names:
        tree = ast.parse((ROOT / "bench" / f"{name}.py").read_text("utf-8"))
        [measure] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "measure"]
        assert [each.arg for each in measure.args.kwonlyargs] == ["quick"], name
        assert "main(" in ast.unparse(tree.body[-1]), f"{name} has a command line"
        assert report.constants(name)["QUESTION"].endswith("?"), name


def test_a_goal_is_met_missed_or_open(figure: Any) -> None:
    assert figure("a", 1.0).met is None
    assert figure("a", 1.0, at_most=1.0).met
    assert figure("a", 1.0, at_least=2.0).met is False
    assert figure("a", 1.0, at_least=0.5, at_most=0.9).goal == "at most 0.9 and at least 0.5"
    assert figure("a", NAN, "s", at_most=1.0).met is None
    assert figure("a", NAN, "s", at_most=1.0).cells()[1:3] == ("-", "at most 1")
    assert figure("a", 12345.6, "tokens/s").cells()[1] == "12,346 tokens/s"
    assert figure("a", 0.12345, "x", at_least=2.0).cells()[1:3] == ("0.1235 x", "at least 2: MISSED")


def test_the_document_shows_each_figure_and_names_missed_goals_and_failures(report: Any) -> None:
    page = report.document(
        {
            "one_thing": result(
                {"name": "fast", "value": 3.0, "unit": "x", "at_least": 2.0, "peer": "1 x, it"},
                {"name": "small", "value": 5.0, "unit": "MiB", "at_most": 4.0, "note": "a | b"},
                {"name": "absent", "value": None, "at_most": 4.0, "note": "not installed"},
                about="More about it.",
            ),
            "other": result(error="exit code 1: ValueError: no"),
        }
    )
    assert "1 of 2 goals that were measured are met." in page
    assert "- small ([One thing](#one-thing)): 5 MiB, goal at most 4; a \\| b\n" in page
    assert "Goals that were not measured: 1 ([One thing](#one-thing))." in page
    assert "Failed: [Other](#other)." in page
    assert (
        "## One thing\n\nHow fast?\n\n`python -m bench.one_thing`, 2026-01-02, a machine, torch 2:\n" in page
    )
    assert "| figure | measured | goal | peer | note |\n| --- | --- | --- | --- | --- |\n" in page
    assert "| fast | 3 x | at least 2: met | 1 x, it |  |\n" in page
    assert "| absent | - | at most 4 |  | not installed |\n\nMore about it.\n" in page
    assert (
        "| figure | measured | note |\n| --- | --- | --- |\n| the benchmark failed | - | exit code 1: "
        in page
    )


def test_a_benchmark_that_fails_is_a_row(
    report: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bench"
    folder.mkdir()
    shutil.copy(ROOT / "bench" / "figures.py", folder)
    start = "from bench.figures import Figure, main\nQUESTION = 'How?'\ndef measure(*, quick):\n    "
    end = "\nif __name__ == '__main__':\n    main(__spec__.name)\n"
    (folder / "good.py").write_text(
        f"{start}return [Figure('n', float('nan') if quick else 2.0, at_most=1)]{end}"
    )
    (folder / "bad.py").write_text(f"{start}raise ValueError('no such thing'){end}")
    (folder / "not_one.py").write_text("raise SystemExit\n")
    monkeypatch.setattr(report, "FOLDER", folder)
    assert report.benchmarks() == ["bad", "good"]
    assert report.run("bad", quick=False)["error"] == "exit code 1: ValueError: no such thing"
    [measured] = report.figures_of(report.run("good", quick=False))
    assert (measured.name, measured.value, measured.at_most) == ("n", 2.0, 1)
    [absent] = report.figures_of(report.run("good", quick=True))
    assert math.isnan(absent.value)


def test_the_page_of_the_documents_is_what_was_measured(report: Any, tmp_path: Path) -> None:
    results = json.loads((ROOT / "docs" / "performance.json").read_text("utf-8"))
    report.write(tmp_path / "performance.md", results)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "performance.md" in written
    for path in written:
        kept = ROOT / "docs" / path.relative_to(tmp_path)
        assert kept.read_text("utf-8") == path.read_text("utf-8"), (
            f"python -m bench.report --only writes {kept.name}"
        )


def test_the_plot_has_every_measured_size(report: Any, figure: Any) -> None:
    growth = importlib.import_module("bench.growth")
    figures = [
        figure("tasks: step, 1", 10.0),
        figure("tasks: step, 512", 12.0),
        figure("tasks: step, exponent", 0.03),
    ]
    figures += [figure("context: packed, 512", 10.0), figure("context: packed, 32,768", 9000.0)]
    [(name, drawn)] = growth.draw(figures).items()
    assert name == "growth.svg"
    shapes = list(ElementTree.fromstring(drawn).iter())
    assert sum(shape.tag.endswith("circle") for shape in shapes) == 4
    texts = [shape.text for shape in shapes if shape.tag.endswith("text")]
    assert {"tasks", "step", "512", "context", "packed", "32.8k"} <= set(texts)
    places = [float(shape.get("cy") or "nan") for shape in shapes if shape.tag.endswith("circle")]
    assert places[2] > places[3], "more seconds are further up"
    assert not re.search(r"\bnan\b", drawn)
