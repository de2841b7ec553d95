"""The example notebook in a real kernel: what its cells show, and an interrupted cell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nbformat import NotebookNode

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
INTERRUPTED = """
import os, signal, threading
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()  # what "interrupt the kernel" does
mftkit.run(spec, data=data, overrides={"output": "runs/long", "training.max_steps": 100000})
"""
REFUSED = """
try:
    mftkit.run(spec, data={})
except mftkit.MftError:
    get_ipython().showtraceback()
"""
RESUMED = """
stopped = mftkit.open_run("runs/long")
again = mftkit.run(stopped.path / "spec.json", dry_run=True, progress=False)
print(stopped.reason, stopped.step > 0, (stopped.path / "checkpoints").is_dir())
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    place = tmp_path_factory.mktemp("notebook")
    notebook: NotebookNode = nbformat.read(NOTEBOOK, as_version=4)
    for number, source in enumerate((INTERRUPTED, RESUMED, REFUSED)):
        notebook.cells.append(nbformat.v4.new_code_cell(source, id=f"added-{number}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(place / name))
        resources = {"metadata": {"path": str(place)}}
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return notebook


def outputs(cell: NotebookNode) -> dict[str, str]:
    """The cell's outputs by kind, except warnings of other packages."""
    found: dict[str, str] = {}
    for output in cell.outputs:
        shown: dict[str, Any] = output.get("data") or {output.get("name", ""): output.get("text", "")}
        for kind, text in shown.items():
            found[kind] = found.get(kind, "") + "".join(text)
    return found


def cell_with(notebook: NotebookNode, text: str) -> dict[str, str]:
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]
    return outputs(cell)


def test_a_run_is_shown_and_so_is_its_result(executed: NotebookNode) -> None:
    shown = cell_with(executed, "result = mftkit.run(spec, data=data)\nresult")
    assert "<b>notebook</b>: finished at step 24 (runs/notebook)" in shown["text/html"]
    [best] = re.findall(r"task writing, .*best ([\d.]+) \(step", shown["text/plain"])
    assert f">{best}</td>" in shown["text/html"]
    assert "RunResult(reason='finished', step=24" in shown["text/plain"]
    assert "stderr" not in shown
    assert (
        f"'writing': BestLoss(step=24, loss={best[:-1]}" in cell_with(executed, "result.best")["text/plain"]
    )
    assert "validation loss" in cell_with(executed, "mftkit.evaluate(")["text/html"]
    assert "better beyond noise" in cell_with(executed, "mftkit.compare(")["text/html"]


def test_interrupting_the_kernel_saves_a_checkpoint(executed: NotebookNode) -> None:
    shown = cell_with(executed, "os.kill")
    assert "SIGINT received: finishing this step, then saving" in shown["text/plain"]
    assert "a checkpoint was saved, and the same call resumes the run" in shown["text/html"]
    assert cell_with(executed, "stopped = ")["stdout"] == "interrupted True True\n"


def test_a_mistake_is_shown_as_its_message(executed: NotebookNode) -> None:
    [cell] = [cell for cell in executed.cells if "showtraceback" in cell.source]
    [shown] = cell.outputs
    assert shown.traceback == ["SpecError: spec: tasks: is missing"]


def test_the_committed_outputs_are_those_of_a_user() -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert not re.search(r"/(root|tmp|work|var)/", text)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(
        outputs(cell) for cell in notebook.cells if cell.cell_type == "code" and "print(" in cell.source
    )
    assert not any(
        output.get("name") == "stderr" for cell in notebook.cells for output in cell.get("outputs", ())
    )
