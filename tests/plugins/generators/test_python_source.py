from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest

from mftkit import MftError
from mftkit.chat_client.cache_key import options_identity
from mftkit_plugins.generators.python_source.corpus import corpus
from mftkit_plugins.generators.python_source.generator import PythonSource

Make = Callable[..., tuple[list[dict[str, Any]], Counter[str]]]

KINDS = ("completion", "comment", "text-to-code", "repair")
STANDARD_LIBRARY = tuple(
    Path(os.__file__).with_name(name) for name in ("json", "logging", "textwrap.py", "bisect.py")
)


def turns(row: dict[str, Any]) -> tuple[str, str]:
    user, assistant = row["messages"]
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    return user["content"], assistant["content"]


def code_of(prompt: str) -> str:
    return prompt.split("\n", 1)[1]


def function_in(source: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    return function


def docstring_in(source: str) -> str:
    docstring = ast.get_docstring(function_in(source))
    assert docstring
    return docstring


def body_dump(source: str, *, docstring: bool = True) -> str:
    function = function_in(source)
    if not docstring and ast.get_docstring(function) is not None:
        function.body = function.body[1:]
    return ast.dump(function)


@pytest.fixture
def originals() -> dict[str, str]:
    """Fingerprint to text of the functions in the standard library's part."""
    return {function.group: function.text for function in corpus(STANDARD_LIBRARY).functions}


def test_completion_is_the_function_cut_after_its_docstring(make: Make, originals: dict[str, str]) -> None:
    rows, _ = make(kind="completion", paths=STANDARD_LIBRARY)
    assert len(rows) > 50
    for row in rows:
        prompt, answer = turns(row)
        assert body_dump(code_of(prompt) + answer) == body_dump(originals[row["group"]])
        assert docstring_in(code_of(prompt))
        assert answer.startswith((" ", "\t"))


def test_comment_is_the_first_sentence_and_absent_from_the_prompt(
    make: Make, originals: dict[str, str]
) -> None:
    rows, _ = make(kind="comment", paths=STANDARD_LIBRARY)
    assert len(rows) > 50
    for row in rows:
        prompt, answer = turns(row)
        original = originals[row["group"]]
        assert " ".join(docstring_in(original).split()).startswith(answer)
        assert answer not in prompt
        assert body_dump(code_of(prompt)) == body_dump(original, docstring=False)


def test_text_to_code_answers_with_the_function_that_it_names(make: Make, originals: dict[str, str]) -> None:
    rows, _ = make(kind="text-to-code", paths=STANDARD_LIBRARY)
    assert len(rows) > 50
    for row in rows:
        prompt, answer = turns(row)
        original = originals[row["group"]]
        assert body_dump(answer) == body_dump(original, docstring=False)
        assert code_of(prompt) == docstring_in(original)
        assert f"`{function_in(original).name}`" in prompt.split("\n")[0]


def test_repair_is_from_code_that_differs_to_the_original(make: Make, originals: dict[str, str]) -> None:
    rows, _ = make(kind="repair", paths=STANDARD_LIBRARY)
    assert len(rows) > 100
    for row in rows:
        prompt, answer = turns(row)
        assert answer == originals[row["group"]]
        assert body_dump(code_of(prompt)) != body_dump(answer)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_the_task_and_no_more_characters_than_allowed(make: Make, kind: str) -> None:
    rows, counts = make(kind=kind, task="mine", paths=STANDARD_LIBRARY, max_characters=400)
    assert rows
    assert counts["overlong"] > 0
    assert counts["kept"] == len(rows)
    for row in rows:
        assert set(row) == {"id", "data_name", "group", "messages"}
        assert row["data_name"] == "mine"
        assert sum(map(len, turns(row))) <= 400
    assert len({row["id"] for row in rows}) == len({row["group"] for row in rows}) == len(rows)


def test_a_function_has_the_same_group_in_every_kind(make: Make) -> None:
    groups = {}
    for kind in KINDS:
        rows, _ = make(kind=kind, paths=STANDARD_LIBRARY)
        groups[kind] = {row["id"]: row["group"] for row in rows}
    for kind in KINDS[1:]:
        common = groups[kind].keys() & groups["completion"].keys()
        assert len(common) > 50
        assert all(groups[kind][name] == groups["completion"][name] for name in common)


def test_fewer_samples_are_the_first_of_more_and_functions_are_shared(make: Make) -> None:
    many, _ = make(kind="completion", paths=STANDARD_LIBRARY, samples=40)
    few, counts = make(kind="completion", paths=STANDARD_LIBRARY, samples=10)
    other, _ = make(kind="text-to-code", paths=STANDARD_LIBRARY, samples=40)
    assert many[:10] == few
    assert counts["kept"] == 10
    assert counts["missing"] == 0
    shared = {row["group"] for row in many} & {row["group"] for row in other}
    assert len(shared) > 25


def test_the_seed_decides_and_nothing_else(make: Make) -> None:
    one, _ = make(seed=1, kind="repair", paths=STANDARD_LIBRARY, samples=20)
    again, _ = make(seed=1, kind="repair", paths=STANDARD_LIBRARY, samples=20)
    other, _ = make(seed=2, kind="repair", paths=STANDARD_LIBRARY, samples=20)
    assert one == again
    assert one != other


def test_another_process_with_another_hash_seed_makes_the_same_rows(make: Make, tmp_path: Path) -> None:
    script = (
        "import json, sys; from pathlib import Path; from mftkit import GenerationContext\n"
        "from mftkit_plugins.generators.python_source.generator import PythonSource as P\n"
        "options = P.Options(kind='repair', samples=30, paths=tuple(map(Path, sys.argv[1:])))\n"
        "rows = P(options).rows(GenerationContext(7, 'a-task', Path(), lambda **counts: None))\n"
        "print(json.dumps(list(rows)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    command = [sys.executable, "-c", script, *map(str, STANDARD_LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    rows, _ = make(kind="repair", samples=30, paths=STANDARD_LIBRARY)
    assert json.loads(done.stdout) == rows


def test_where_the_source_lies_does_not_matter(make: Make, source: Path, tmp_path: Path) -> None:
    here, _ = make(kind="completion", paths=(source,))
    moved = tmp_path / "elsewhere" / source.name
    moved.parent.mkdir()
    source.rename(moved)
    assert make(kind="completion", paths=(moved,))[0] == here


def test_more_samples_than_there_are_is_reported(make: Make, source: Path) -> None:
    rows, counts = make(kind="completion", paths=(source,), samples=50)
    assert counts["missing"] == 50 - len(rows)


def test_what_is_left_out_is_counted(make: Make, source: Path) -> None:
    rows, counts = make(kind="completion", paths=(source,))
    assert {row["id"].split()[-1] for row in rows} == {"clamp", "total", "call"}
    assert counts == {
        "kept": 3,
        "no_docstring": 1,
        "duplicate": 1,
        "trivial": 2,
        "unparsable_files": 1,
        "unreadable_files": 1,
        "generated_files": 1,
    }


def test_a_docstring_that_is_a_signature_is_no_comment(make: Make, source: Path) -> None:
    rows, counts = make(kind="comment", paths=(source,))
    answers = {row["id"].split()[-1]: turns(row)[1] for row in rows}
    assert answers == {
        "clamp": "Keep a value within bounds, e.g. a share.",
        "total": "Sum of all entries that are not void.",
    }
    assert counts["no_summary"] == 1


def test_a_path_that_does_not_exist_is_the_users_mistake(make: Make, tmp_path: Path) -> None:
    with pytest.raises(MftError, match=r"options\.paths: .*absent does not exist"):
        make(paths=(tmp_path / "absent",))


def test_a_directory_without_functions_is_the_users_mistake(make: Make, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MftError, match=r"no usable Python functions in .*empty"):
        make(paths=(tmp_path / "empty",))


def test_options_are_checked() -> None:
    with pytest.raises(pydantic.ValidationError):
        PythonSource.Options(kind="translation")  # type: ignore[arg-type]
    with pytest.raises(pydantic.ValidationError):
        PythonSource.Options(samples=0)
    assert PythonSource.Options(samples=500).kind == "completion"


@pytest.mark.long
def test_the_standard_library_gives_thousands_of_rows(make: Make) -> None:
    counts = {kind: len(make(kind=kind, task=kind)[0]) for kind in KINDS}
    assert counts["text-to-code"] > 3000
    assert counts["comment"] > 1500
    assert counts["completion"] > 1000
    assert counts["repair"] > 1000


def test_the_rows_follow_the_source_and_the_python(source: Path) -> None:
    def identity(*paths: Path) -> object:
        return options_identity(PythonSource.Options(paths=paths))

    before, rows = identity(source), corpus((source,)).functions
    assert identity(source) == before
    assert identity() != before
    assert platform.python_version() in PythonSource.version
    (source / "more.py").write_text("def more(a):\n    return a * 3\n")
    assert identity(source) != before
    assert len(corpus((source,)).functions) == len(rows) + 1
