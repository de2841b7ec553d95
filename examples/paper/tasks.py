"""The experiment's rows: a folder of tasks in the paper's format, or tasks made from installed Python source."""

from __future__ import annotations

import ast
import json
import random
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from sizes import Size

HELD_OUT = ("asyncio", "concurrent", "email", "http", "json", "urllib")
"""Packages of the standard library that nothing is trained on: the base and the tasks have its single modules."""
KINDS = {"text-to-code": 3000, "comment": 1500, "completion": 600, "repair": 250}
"""Tasks of ``python-source``, with their numbers of rows."""
UNSEEN = "text-to-sql"
"""The task that no arm trains."""
TABLES = {
    "singer": ("name", "age", "country"),
    "book": ("title", "pages", "author"),
    "city": ("name", "population", "region"),
    "player": ("name", "score", "team"),
}


def task_sections(data: Path | None, size: Size, output: Path) -> list[dict[str, Any]]:
    """The ``tasks`` of the spec; rows of a folder are cut to the size and written below the output."""
    if data is None:
        return [_generated(kind, rows, size) for kind, rows in KINDS.items()]
    folders = sorted(file.parent for file in data.glob("*/train.jsonl"))
    if not folders:
        raise mftkit.MftError(
            f"{data}: no folder in it has a train.jsonl; give the folder of the tasks' folders"
        )
    return [_from_folder(folder, size, output / "rows" / folder.name) for folder in folders]


def _generated(kind: str, rows: int, size: Size) -> dict[str, Any]:
    train = max(size.least, round(rows * size.share))
    paths = [str(file) for file in _modules()]  # not the packages: some are held out
    options = {"kind": kind, "samples": train + size.valid, "max_characters": 900, "paths": paths}
    fraction = size.valid / (train + size.valid)
    return {"name": kind, "generator": {"name": "python-source", "options": options}, "valid": fraction}


def _from_folder(folder: Path, size: Size, output: Path) -> dict[str, Any]:
    rows = _lines(folder / "train.jsonl")
    train = max(size.least, round(len(rows) * size.share))
    _write(output / "train.jsonl", random.Random(folder.name).sample(rows, min(train, len(rows))))
    _write(output / "valid.jsonl", _lines(folder / "valid.jsonl")[: size.valid])
    return {
        "name": folder.name,
        "train": [str(output / "train.jsonl")],
        "valid": [str(output / "valid.jsonl")],
    }


def pretraining_sections(data: Path | None, output: Path) -> list[dict[str, Any]]:
    """The base's texts: functions of the standard library's modules, and the prompts of the tasks' training rows."""
    functions = sorted(set(_functions(_modules())))
    random.Random(0).shuffle(functions)
    texts = {"python": functions}
    if data is not None:
        files = sorted(data.glob("*/train.jsonl"))
        texts["prompts"] = [turn for file in files for row in _lines(file) for turn in _prompts(row)]
    for name, rows in texts.items():
        _write(output / f"{name}.jsonl", [json.dumps({"text": text}) for text in rows])
    return [
        {"name": name, "format": "text", "train": [str(output / f"{name}.jsonl")], "valid": 0.005}
        for name in texts
    ]


def _modules() -> list[Path]:
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))


def _functions(files: list[Path]) -> list[str]:
    """Functions of at most 900 characters of these files."""
    found = []
    for file in files:
        source = file.read_text(encoding="utf-8")
        lines = source.encode().split(b"\n")
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
        found += [text for node in nodes if len(text := _segment(lines, node)) <= 900]
    return found


def _segment(lines: list[bytes], node: ast.FunctionDef) -> str:
    """As ``ast.get_source_segment``, which splits the whole source for each node; columns are in bytes."""
    inside = lines[node.lineno - 1 : node.end_lineno]
    inside[-1] = inside[-1][: node.end_col_offset]
    inside[0] = inside[0][node.col_offset :]
    return b"\n".join(inside).decode()


def _prompts(line: str) -> list[str]:
    return [turn["content"] for turn in json.loads(line)["chat_rounds"] if turn["role"] == "human"]


def outside_sections(output: Path, valid: int) -> list[dict[str, Any]]:
    """What nothing is trained on: Python of other packages (forgetting) and text-to-SQL by templates (unseen)."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [file for package in HELD_OUT for file in sorted((library / package).glob("*.py"))]
    trained = "\n".join(file.read_text(encoding="utf-8") for file in _modules())
    lines = set(trained.split("\n"))

    def is_trained(text: str) -> bool:
        # Whole lines are looked up first: to search all of the text for each function takes more than a second.
        return all(line in lines for line in text.split("\n")[1:-1]) and text in trained

    functions = [text for text in sorted(set(_functions(files))) if not is_trained(text)]
    texts = random.Random(0).sample(functions, min(4 * valid, len(functions)))
    _write(output / "python-held-out.jsonl", [json.dumps({"text": text}) for text in texts])
    _write(output / "text-to-sql.jsonl", [json.dumps(row) for row in _sql_rows(4 * valid)])
    python_task = {"name": "python", "format": "text", "train": [str(output / "python-held-out.jsonl")]}
    sql_task = {"name": UNSEEN, "train": [str(output / "text-to-sql.jsonl")]}
    return [{**task, "valid": task["train"]} for task in (python_task, sql_task)]


def _sql_rows(number: int) -> list[dict[str, Any]]:
    """Questions about one table, with their queries."""
    draw, rows = random.Random(0), []
    for index in range(number):
        table = draw.choice(sorted(TABLES))
        first, second, third = TABLES[table]
        limit = draw.randrange(1, 200)
        pairs = [
            (
                f"How many {table}s have a {second} over {limit}?",
                f"count(*) FROM {table} WHERE {second} > {limit}",
            ),
            (f"List the {first} of every {table}, by {second}.", f"{first} FROM {table} ORDER BY {second}"),
            (
                f"What is the highest {second} per {third}?",
                f"{third}, max({second}) FROM {table} GROUP BY {third}",
            ),
        ]
        question, query = draw.choice(pairs)
        prompt = f"CREATE TABLE {table} ({first} TEXT, {second} INTEGER, {third} TEXT)\n{question}"
        rounds = [{"role": "human", "content": prompt}, {"role": "bot", "content": f"SELECT {query}"}]
        rows.append({"id": index, "data_name": UNSEEN, "chat_rounds": rounds})
    return rows


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def _write(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
