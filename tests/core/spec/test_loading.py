"""A spec that is right: defaults, paths, and that what is written out is read as the same spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mftkit.spec import ComponentRef, HubDataset, Spec, TrainBpe, load_spec

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import SpecDict
    from mftkit_registry import Registry


def write(path: Path, data: dict[str, Any]) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_defaults(stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path) -> None:
    spec = load_spec(spec_dict(), directory=tmp_path)
    assert spec.loss == ComponentRef(name="square", options={})
    assert spec.tokenization == ComponentRef(name="rows", options={"scope": "all"})
    assert spec.balancer.name == "even"
    assert spec.tuning.method == "whole"
    assert spec.model.adapter.name == "auto"
    assert spec.output == tmp_path / "runs" / "x"
    assert spec.tasks[0].valid == 0.05
    assert spec.training.early_stopping is None
    assert spec.data.cache is None
    assert spec.dump()["model"]["adapter"] == "auto"


def test_the_file_gives_name_and_directory(
    stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = spec_dict()
    del data["name"]
    (tmp_path / "specs").mkdir()
    write(tmp_path / "specs" / "five-tasks.json", data)
    monkeypatch.chdir(tmp_path)
    spec = load_spec("specs/five-tasks.json")
    assert spec.name == "five-tasks"
    assert spec.output == tmp_path / "specs/runs/five-tasks"
    assert spec.tasks[0].train == [str(tmp_path / "specs/a.jsonl")]


def test_short_forms(stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path) -> None:
    tasks = [{"name": "a", "train": "x.jsonl", "valid": "y.jsonl"}]
    spec = load_spec(spec_dict(loss="bent", tuning="part", tasks=tasks), directory=tmp_path)
    assert spec.loss.name == "bent"
    assert spec.loss.options["gamma"] == 2.0
    assert spec.tuning.options == {"rank": 8}
    assert spec.tasks[0].train == [str(tmp_path / "x.jsonl")]
    assert spec.tasks[0].valid == [str(tmp_path / "y.jsonl")]


def test_options_without_a_name_go_to_the_default(
    stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path
) -> None:
    spec = load_spec(spec_dict(tokenization={"options": {"scope": "one"}}), directory=tmp_path)
    assert (spec.tokenization.name, spec.tokenization.options) == ("rows", {"scope": "one"})


def test_paths_are_relative_to_the_spec(
    stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "specs"
    (here / "local").mkdir(parents=True)
    (here / "org" / "there").mkdir(parents=True)
    data = spec_dict(
        output="~/out",
        loss={"name": "bent", "options": {"table": "t.json"}},
        data={"cache": "cache"},
        tasks=[
            {"name": "a", "train": ["d/*.jsonl", "/abs.jsonl"], "valid": ["../v.jsonl"]},
            {"name": "b", "generator": {"name": "maker", "options": {"count": 1}}},
        ],
    )
    spec = load_spec(data, directory=here)
    assert spec.output == tmp_path / "home/out"
    assert spec.data.cache == here / "cache"
    assert spec.loss.options["table"] == str(here / "t.json")
    assert spec.tasks[0].train == [str(here / "d/*.jsonl"), "/abs.jsonl"]
    assert spec.tasks[0].valid == [str(tmp_path / "v.jsonl")]
    assert spec.tasks[1].generator is not None
    assert spec.tasks[1].generator.options["folder"] == str(here / "made"), "defaults too"
    for given_path, read in {
        "org/model": "org/model",
        "org/there": str(here / "org/there"),
        "local": str(here / "local"),
        "gpt2": "gpt2",
        "./gpt2": str(here / "gpt2"),
        "a/b/c": str(here / "a/b/c"),
        "~/m": str(tmp_path / "home/m"),
    }.items():
        assert load_spec({**data, "model": {"path": given_path}}, directory=here).model.path == read


def test_two_dots_after_a_symbolic_link_stay(
    stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "inner")
    spec = load_spec(spec_dict(output="link/../out"), directory=tmp_path)
    assert spec.output.resolve() == tmp_path.resolve() / "elsewhere" / "out"


def test_random_start_and_hub_data(stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path) -> None:
    model = {"init": "random", "config": {"model_type": "m", "layers": 2}, "tokenizer": {"train_bpe": 300}}
    tasks = [{"name": "a", "train": {"dataset": "org/name"}}]
    spec = load_spec(spec_dict(model=model, tasks=tasks), directory=tmp_path)
    assert spec.model.tokenizer == TrainBpe(train_bpe=300)
    assert spec.tasks[0].train == HubDataset(dataset="org/name", split="train")


def test_directories_and_files_of_data_sets_are_relative_to_the_spec(
    stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path
) -> None:
    (tmp_path / "sets" / "one").mkdir(parents=True)

    def entry(**given: Any) -> dict[str, Any]:
        tasks = [{"name": "a", "train": ["x.jsonl", given], "valid": given}]
        task = load_spec(spec_dict(tasks=tasks), directory=tmp_path).tasks[0]
        assert isinstance(task.train, list)
        assert task.train == [str(tmp_path / "x.jsonl"), task.valid]
        assert isinstance(task.valid, HubDataset)
        return task.valid.model_dump(exclude_defaults=True)

    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"dataset": "sets/one"}, {"dataset": str(tmp_path / "sets/one")}),
        ({"dataset": "./none"}, {"dataset": str(tmp_path / "none")}),
        ({"dataset": "sets/two", "revision": "v1"}, {"dataset": "sets/two", "revision": "v1"}),
        ({"dataset": "sets/one", "data_files": "a.json"}, {"dataset": str(tmp_path / "sets/one"), "data_files": "a.json"}),
        ({"dataset": "json", "data_files": ["a.json", "hf://b/c"]}, {"dataset": "json", "data_files": [str(tmp_path / "a.json"), "hf://b/c"]}),
        ({"dataset": "csv", "data_files": {"train": "a*", "test": ["/b"]}}, {"dataset": "csv", "data_files": {"train": str(tmp_path / "a*"), "test": ["/b"]}}),
        ({"dataset": "o/n", "name": "de", "split": "test[:3]", "data_files": {"test": "x"}}, {"dataset": "o/n", "name": "de", "split": "test[:3]", "data_files": {"test": "x"}}),
    ]  # fmt: skip
    for written, read in cases:
        assert entry(**written) == read
        assert entry(**read) == read, "the dump of a spec is read again"


def test_columns_are_read_and_dumped(stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path) -> None:
    columns = {"problem": "prompt", "the solution": "answer"}
    spec = load_spec(
        spec_dict(tasks=[{"name": "a", "train": "x.csv", "columns": columns}]), directory=tmp_path
    )
    assert spec.tasks[0].columns == columns
    assert load_spec(spec.dump()) == spec


def test_a_small_batch_is_one_micro_batch(stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path) -> None:
    def micro(training: dict[str, int]) -> int:
        return load_spec(spec_dict(training=training), directory=tmp_path).training.micro_batch_size

    assert (micro({"batch_size": 2}), micro({"batch_size": 64}), micro({})) == (2, 4, 4)


@pytest.mark.parametrize(
    ("tuning", "given", "rate"),
    [("whole", None, 1e-4), ("part", None, 2e-3), ("part", 5.0, 5.0)],
)
def test_the_default_learning_rate_is_the_tunings(
    stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path, tuning: str, given: float | None, rate: float
) -> None:
    spec = load_spec(
        spec_dict(tuning=tuning, training={"learning_rate": given, "min_learning_rate": rate}),
        directory=tmp_path,
    )
    assert spec.training.peak_learning_rate == rate
    assert spec.dump()["training"]["learning_rate"] == rate
    assert load_spec(spec_dict(tuning=tuning), directory=tmp_path).training.learning_rate in (1e-4, 2e-3)


def test_frozen(stand_ins: Registry, spec_dict: SpecDict, tmp_path: Path) -> None:
    spec = load_spec(spec_dict(), directory=tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 3


def maybe(strategies: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


positive = st.floats(1e-8, 1e3)
every = st.integers(1, 10**6) | st.just("epoch")
training = maybe(
    {
        "epochs": positive | st.integers(1, 5),
        "max_steps": st.none() | st.integers(1, 9),
        "batch_size": st.integers(4, 64),
        "learning_rate": positive,
        "warmup": st.floats(0, 1, exclude_max=True) | st.integers(1, 50),
        "max_grad_norm": st.none() | positive,
        "evaluate_every": every,
        "checkpoint_every": every,
        "early_stopping": st.none() | st.just({"patience": 2, "tasks": ["t0"]}),
    }
)
bent = maybe(
    {"gamma": positive, "alpha": positive | st.just({"t0": 2}), "limit": positive, "table": st.just("x/y")}
)
source = st.sampled_from(
    [
        {"train": "a.jsonl"},
        {"train": ["a/*.jsonl", "/b"]},
        {"train": {"dataset": "o/n", "split": "s"}},
        {"generator": {"name": "maker", "options": {"count": 3}}},
    ]
)
specs = st.builds(
    lambda top, sources, loss, train: {
        "name": "x",
        "model": {"path": "o/m"},
        "tasks": [{"name": f"t{i}", **s} for i, s in enumerate(sources)],
        "loss": loss,
        "training": train,
        **top,
    },
    maybe(
        {
            "name": st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=9),
            "seed": st.integers(0, 2**40),
            "max_length": st.integers(2, 9999),
            "model": st.sampled_from(
                [
                    {"path": "m", "adapter": {"name": "family", "options": {"strict": False}}},
                    {"init": "random", "config": {"model_type": "m"}, "tokenizer": {"train_bpe": 500}},
                    {"path": "./here", "tokenizer": "there/it/is", "dtype": "float64"},
                ]
            ),
            "tuning": st.sampled_from(["part", {"method": "part", "rank": 2}, {"method": "whole"}]),
            "chat": st.just({"format": "markers", "markers": {"system": "", "user": "u", "assistant": "b"}}),
            "data": maybe({"cache": st.sampled_from([None, "c"]), "overlong": st.just("drop")}),
        }
    ),
    st.lists(source, min_size=1, max_size=3),
    st.just("square") | bent.map(lambda options: {"name": "bent", "options": options}),
    training,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=specs)
def test_what_is_dumped_is_read_as_the_same_spec(stand_ins: Registry, tmp_path: Path, data: Any) -> None:
    spec = load_spec(data, directory=tmp_path)
    dumped = json.loads(json.dumps(spec.dump(), allow_nan=False))
    assert load_spec(dumped, directory="/somewhere/else") == spec
    assert load_spec(write(tmp_path / "other.json", dumped)) == spec
    assert set(dumped) == set(Spec.model_fields) - {"schema_address"}
