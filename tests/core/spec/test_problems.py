"""Every wrong spec is reported with the key's path, what was given, and what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fixture_types import Problems, SpecDict

TASK = {"name": "a", "train": ["a.jsonl"]}
RANDOM = {"init": "random", "config": {"model_type": "m"}, "tokenizer": {"train_bpe": 400}}

WRONG = [
    ({"seed": -1}, "seed: should be greater than or equal to 0 (given: -1)"),
    ({"seed": True}, "seed: should be a valid integer (given: true)"),
    ({"seed": "3"}, 'seed: should be a valid integer (given: "3")'),
    ({"max_length": 10**12}, "max_length: should be less than or equal to 2147483647 (given: 1000000000000)"),
    ({"training": {"batch_size": 10**9}}, "training.batch_size: should be less than or equal to 1048576"),
    ({"max_length": 1}, "max_length: should be greater than or equal to 2 (given: 1)"),
    ({"outptu": "x"}, 'outptu: unknown key (given: "x"); allowed: "name", "output"'),
    ({"outptu": "x"}, 'did you mean "output"?'),
    ({"api_key": "some-words"}, "api_key: unknown key (given: (hidden)); allowed:"),
    ({"balancer": {"name": "even", "options": {"uri": "mysql://me:some-words@host/db"}}}, "balancer.options.uri: contains a password, which would be written to files"),
    ({"seed": "http://me:some/words@host"}, "seed: contains a password, which would be written to files"),
    ({"seed": "a http://me:some words@host?key=some-words x"}, 'seed: should be a valid integer (given: "a http://(hidden)@host?(hidden)")'),
    ({"output": ""}, 'output: should be a path (given: "")'),
    ({"name": "a/b"}, 'name: is used in file names, so it must not contain / or \\ or control characters, or begin or end with a space (given: "a/b")'),
    ({"name": ".."}, "name: is used in file names"),
    ({"tasks": []}, "tasks: list should have at least 1 item"),
    ({"tasks": TASK}, "tasks: should be a valid list"),
    ({"tasks": [TASK, {**TASK}]}, 'tasks.1.name: is already the name of tasks.0 (given: "a")'),
    ({"tasks": [{"train": "x"}]}, "tasks.0.name: is missing"),
    ({"tasks": [{**TASK, "name": " "}]}, 'tasks.0.name: should be a string that is not blank (given: " ")'),
    ({"tasks": [{"name": "a"}]}, 'tasks.0: needs either "train" or "generator", but has neither'),
    ({"tasks": [{**TASK, "generator": {"name": "maker", "options": {"count": 1}}}]}, 'tasks.0: needs either "train" or "generator", but has both'),
    ({"tasks": [{"name": "a", "train": []}]}, "tasks.0.train: names no file (given: [])"),
    ({"tasks": [{"name": "a", "train": ["x", 3]}]}, "tasks.0.train.1: should be a path or glob (given: 3)"),
    ({"tasks": [{"name": "a", "train": 3}]}, 'tasks.0.train: should be a list of paths or globs, or {"dataset"'),
    ({"tasks": [{"name": "a", "train": {"dataset": "o/n", "slpit": "x"}}]}, 'tasks.0.train.slpit: unknown key (given: "x"); allowed: "dataset", "split", "name", "revision", "data_files"; did you mean "split"?'),
    ({"tasks": [{"name": "a", "train": {"split": "x"}}]}, "tasks.0.train.dataset: is missing"),
    ({"tasks": [{"name": "a", "train": ["x", {"split": "y"}]}]}, "tasks.0.train.1.dataset: is missing"),
    ({"tasks": [{"name": "a", "train": ["x", {"dataset": "o/n", "nam": "y"}]}]}, 'tasks.0.train.1.nam: unknown key (given: "y"); allowed: "dataset", "split", "name", "revision", "data_files"; did you mean "name"?'),
    ({"tasks": [{**TASK, "valid": [{"dataset": " "}]}]}, 'tasks.0.valid.0.dataset: should be the id of a data set or a directory (given: " ")'),
    ({"tasks": [{**TASK, "valid": {"dataset": "o/n", "split": ""}}]}, "tasks.0.valid.split: string should have at least 1 character"),
    ({"tasks": [{"name": "a", "train": {"dataset": "json", "data_files": []}}]}, "tasks.0.train.data_files: should be a path, a list of paths, or an object from splits to paths (given: [])"),
    ({"tasks": [{"name": "a", "train": {"dataset": "json", "data_files": {}}}]}, "tasks.0.train.data_files: names no file (given: {})"),
    ({"tasks": [{"name": "a", "train": {"dataset": "json", "data_files": {"train": 3}}}]}, "tasks.0.train.data_files.train: should be a path or a list of paths (given: 3)"),
    ({"tasks": [{**TASK, "columns": ["a"]}]}, "tasks.0.columns: should be an object from columns to keys"),
    ({"tasks": [{**TASK, "columns": {"problem": 3}}]}, "tasks.0.columns.problem: should be the key that the column is read as (given: 3)"),
    ({"tasks": [{**TASK, "columns": {"one": "prompt", "other": "prompt"}}]}, 'tasks.0.columns.other: is already given to the column "one" (given: "prompt")'),
    ({"tasks": [{"name": "a", "generator": {"name": "maker", "options": {"count": 1}}, "columns": {"problem": "prompt"}}]}, 'tasks.0.columns: renames the columns of "train", and the task has a generator'),
    ({"tasks": [{**TASK, "valid": 1}]}, "tasks.0.valid: should be a list of paths, {\"generator\": ...}, or a fraction that is at least 0 and less than 1 (given: 1)"),
    ({"tasks": [{**TASK, "valid": True}]}, "tasks.0.valid: should be a list"),
    ({"tasks": [{**TASK, "valid": []}]}, "tasks.0.valid: names no file (given: []); for no validation set 0"),
    ({"tasks": [{**TASK, "format": "Chat"}]}, 'tasks.0.format.name: unknown task-format (given: "Chat"); allowed: "chat", "text"; did you mean "chat"?'),
    ({"tasks": [{**TASK, "weight": -1}]}, "tasks.0.weight: should be greater than or equal to 0 (given: -1)"),
    ({"tasks": [{**TASK, "weight": float("nan")}]}, "tasks.0.weight: should be a finite number"),
    ({"tasks": [{**TASK, "weight": 0}], "balancer": "given"}, "tasks: all have weight 0"),
    ({"tasks": [{**TASK, "weight": 2}]}, 'balancer: does not read tasks[].weight, which is set (a 2) (given: "even"); those that do: "given", or remove the weights'),
    ({"tasks": [{"name": "a", "generator": "maker"}]}, "tasks.0.generator.options.count: is missing"),
    ({"tasks": [{"name": "a", "generator": {}}]}, 'tasks.0.generator.name: is missing, and there is no default data-generator; allowed: "maker"'),
    ({"mixing": {}}, 'mixing: needs exactly one of "temperature", "proportions" and "mixer", but has none of them'),
    ({"mixing": {"temperature": 2, "proportions": {"a": 1}}}, 'mixing: needs exactly one of "temperature", "proportions" and "mixer", but has temperature and proportions'),
    ({"mixing": {"temperature": 0}}, "mixing.temperature: should be greater than 0 (given: 0)"),
    ({"mixing": {"temprature": 2}}, 'mixing.temprature: unknown key (given: 2); allowed: "temperature", "proportions", "by", "mixer", "epoch_samples"; did you mean "temperature"?'),
    ({"mixing": {"proportions": {"a": 1, "aa": 1}}}, 'mixing.proportions.aa: is not a task of this spec (given: "aa"); allowed: "a"; did you mean "a"?'),
    ({"mixing": {"proportions": {"b": 1}}}, "mixing.proportions: must name every task; missing: a; 0 excludes a task from training"),
    ({"mixing": {"proportions": {"a": -1}}}, "mixing.proportions.a: should be greater than or equal to 0 (given: -1)"),
    ({"mixing": {"proportions": {"a": True}}}, "mixing.proportions.a: should be a valid number (given: true)"),
    ({"mixing": {"proportions": {"a": 0}}}, "mixing.proportions: are all 0, so nothing would be trained"),
    ({"mixing": {"temperature": 2, "by": "rows"}}, 'mixing.by: is not an allowed value (given: "rows"); allowed: "samples", "tokens"'),
    ({"tasks": [TASK, {**TASK, "name": "b"}], "mixing": {"temperature": 2, "epoch_samples": 1}}, "mixing.epoch_samples: should be at least 2, one sample per trained task (given: 1)"),
    ({"model": {}}, "model.path: is missing"),
    ({"model": {"path": "a b c"}}, 'model.path: is neither an existing path nor a hub id ("organization/name") (given: "a b c")'),
    ({"model": {"path": "o/m", "config": {}}}, "model.config: is only for random weights"),
    ({"model": {"path": "o/m", "tokenizer": {"train_bpe": 400}}}, "model.tokenizer: a checkpoint's vocabulary is fixed"),
    ({"model": {"init": "random"}}, "model.config: is required for random weights"),
    ({"model": {"init": "random"}}, "model.tokenizer: is required for random weights"),
    ({"model": {**RANDOM, "config": {}}}, "model.config: is required for random weights"),
    ({"model": {**RANDOM, "path": "o/m"}}, 'model.path: is not used with init "random" (given: "o/m")'),
    ({"model": {**RANDOM, "tokenizer": {"train_bpe": 299}}}, "model.tokenizer.train_bpe: should be greater than or equal to 300 (given: 299)"),
    ({"model": {"path": "o/m", "dtype": "float16"}}, 'model.dtype: is not an allowed value (given: "float16"); allowed: "auto", "float32", "bfloat16", "float64"'),
    ({"model": {"path": "o/m", "adapter": "famly"}}, 'model.adapter.name: unknown model-adapter (given: "famly"); allowed: "family"; did you mean "family"?'),
    ({"model": {"path": "o/m", "adapter": {"name": "auto", "options": {"strict": True}}}}, 'model.adapter.options: "auto" takes no options'),
    ({"model": {"path": "o/m", "trust_remote_code": 1}}, "model.trust_remote_code: should be a valid boolean (given: 1)"),
    ({"tuning": {"method": "part", "rnk": 4}}, 'tuning.rnk: unknown key (given: 4); allowed: "rank"; did you mean "rank"?'),
    ({"tuning": {"method": "prt"}}, 'tuning.method: unknown tuning (given: "prt"); allowed: "part", "whole"; did you mean "part"?'),
    ({"tuning": {"rank": 4}}, "tuning.rank: unknown key (given: 4); no options are allowed here"),
    ({"tuning": 3}, 'tuning: should be a method or {"method": ...} with its options (given: 3)'),
    ({"loss": "sqare"}, 'loss.name: unknown loss (given: "sqare"); allowed: "bent", "heavy", "square"; did you mean "square"?'),
    ({"loss": 3}, 'loss: should be a name or {"name": ..., "options": {...}} (given: 3)'),
    ({"loss": {"name": 3}}, "loss.name: should be the name of a loss (given: 3)"),
    ({"loss": {"name": "bent", "gamma": 1}}, 'loss.gamma: unknown key (given: 1); did you mean "options.gamma"?'),
    ({"loss": {"name": "bent", "option": {}}}, 'loss.option: unknown key (given: {}); allowed: "name", "options"; did you mean "options"?'),
    ({"loss": {"name": "bent", "options": 3}}, "loss.options: should be an object (given: 3)"),
    ({"loss": {"name": "bent", "options": {"gamma": -1}}}, "loss.options.gamma: should be greater than or equal to 0 (given: -1)"),
    ({"loss": {"name": "bent", "options": {"gama": 1}}}, 'loss.options.gama: unknown key (given: 1); allowed: "gamma", "alpha", "limit", "table", "inner"; did you mean "gamma"?'),
    ({"loss": {"name": "bent", "options": {"inner": {"dpth": 1}}}}, 'loss.options.inner.dpth: unknown key (given: 1); allowed: "depth"; did you mean "depth"?'),
    ({"loss": {"name": "bent", "options": {"alpha": "x"}}}, "loss.options.alpha: should be a valid dictionary, or should be a valid number"),
    ({"loss": {"name": "bent", "options": {"table": 3}}}, "loss.options.table: should be a path (given: 3)"),
    ({"loss": "heavy"}, 'loss.name: loss "heavy" of stand-ins 1.0 (entry point "stand-ins") cannot be loaded from "module_that_is_not_there:Loss": ModuleNotFoundError'),
    ({"data": {"on_bad_row": "ignore"}}, 'data.on_bad_row: is not an allowed value (given: "ignore"); allowed: "error", "skip"'),
    ({"data": {"overlong": "cut"}}, 'data.overlong: is not an allowed value (given: "cut"); allowed: "truncate", "drop", "error"'),
    ({"chat": {"format": "template", "markers": {"system": "", "user": "u", "assistant": "b"}}}, 'chat.markers: are not used with format "template"'),
    ({"chat": {"markers": {"user": "u", "assistant": "b"}}}, "chat.markers.system: is missing"),
    ({"training": {"epochs": 0}}, "training.epochs: should be greater than 0 (given: 0)"),
    ({"training": {"epochs": "2"}}, 'training.epochs: should be a valid number (given: "2")'),
    ({"training": {"max_steps": 0}}, "training.max_steps: should be greater than or equal to 1 (given: 0)"),
    ({"training": {"batch_size": 1.5}}, "training.batch_size: should be a valid integer"),
    ({"training": {"batch_size": 2, "micro_batch_size": 4}}, "training.micro_batch_size: should be at most batch_size, 2 (given: 4)"),
    ({"training": {"learning_rate": 0}}, "training.learning_rate: should be greater than 0 (given: 0)"),
    ({"tuning": "part", "training": {"min_learning_rate": 1e-2}}, "training.min_learning_rate: should be at most learning_rate, 0.002 (the default of part) (given: 0.01)"),
    ({"training": {"learning_rate": 1e-4, "min_learning_rate": 1e-3}}, "training.min_learning_rate: should be at most learning_rate, 0.0001 (given: 0.001)"),
    ({"training": {"warmup": 1.5}}, "training.warmup: should be less than 1"),
    ({"training": {"warmup": -1}}, "training.warmup: should be greater than or equal to 0"),
    ({"training": {"scheduler": "cosin"}}, 'training.scheduler.name: unknown schedule (given: "cosin"); allowed: "cosine", "linear"; did you mean "cosine"?'),
    ({"training": {"optimizer": {"name": "adamw", "options": {"betas": [0.9, 1.0]}}}}, "training.optimizer.options.betas.1: should be less than 1"),
    ({"training": {"parameter_groups": [{"pattern": "("}]}}, "training.parameter_groups.0.pattern: is not a valid regular expression"),
    ({"training": {"log_every": 0}}, "training.log_every: should be greater than or equal to 1"),
    ({"training": {"evaluate_every": 0}}, 'training.evaluate_every: should be an integer number of steps, at least 1, or "epoch" (given: 0)'),
    ({"training": {"checkpoint_every": "epochs"}}, 'training.checkpoint_every: should be a number of steps, at least 1, or "epoch", or a time such as "20 min" (units: s, min, h) (given: "epochs")'),
    ({"training": {"checkpoint_every": ["epoch", "20 days"]}}, 'training.checkpoint_every.1: should be a number of steps'),
    ({"training": {"checkpoint_every": []}}, 'training.checkpoint_every: is empty; name at least one interval, such as "epoch"'),
    ({"training": {"keep_checkpoints": 0}}, "training.keep_checkpoints: should be greater than or equal to 1"),
    ({"training": {"max_grad_norm": 0}}, "training.max_grad_norm: should be greater than 0"),
    ({"training": {"task_mean": "dataset"}, "loss": "bent"}, 'training.task_mean: "dataset" requires a loss that is linear in its statistics, and bent is not (given: "dataset"); allowed: "present", "all"'),
    ({"training": {"early_stopping": {"patience": 0}}}, "training.early_stopping.patience: should be greater than or equal to 1"),
    ({"training": {"early_stopping": {}}}, "training.early_stopping.patience: is missing"),
    ({"training": {"early_stopping": {"patience": 1, "tasks": ["b"]}}}, 'training.early_stopping.tasks.0: is not a task of this spec (given: "b"); allowed: "a"'),
    ({"training": {"early_stopping": {"patience": 1}}, "tasks": [{**TASK, "valid": 0}]}, "training.early_stopping: needs validation rows, and no task has any"),
    ({"training": {"early_stopping": {"patience": 1, "tasks": ["b"]}}, "tasks": [TASK, {**TASK, "name": "b", "valid": 0}]}, 'training.early_stopping.tasks.0: has no validation rows (given: "b"); allowed: "a"'),
    ({"trackers": ["some"]}, 'trackers.0.name: unknown tracker (given: "some"); allowed: "board"'),
    ({"trackers": ["board", {"name": "board"}]}, 'trackers.1.name: is named twice (given: "board")'),
    ({"trackers": [{"name": "board", "options": {"x": 1}}]}, "trackers.0.options.x: "),
]  # fmt: skip


@pytest.mark.parametrize(("more", "line"), WRONG, ids=[line[:60] for _, line in WRONG])
def test_one_problem(more: Any, line: str, spec_dict: SpecDict, problems: Problems) -> None:
    found = problems(spec_dict(**more))
    assert any(line in problem for problem in found), found
    assert len(found) <= 2, "one mistake is reported once"


def test_all_at_once(spec_dict: SpecDict, problems: Problems) -> None:
    found = problems(
        {
            "name": "x",
            "seed": -1,
            "model": {"path": "o/m", "adapter": "nobody"},
            "tasks": [{"name": "a", "train": ["a"], "wieght": 2}, {"name": "a", "train": "b", "valid": 2}],
            "tuning": {"method": "part", "rank": "many"},
            "loss": {"name": "bent", "options": {"gamma": -1, "inner": {"depth": "x"}}, "more": 1},
            "balancer": "uneven",
            "training": {"epochs": 0, "warmup": 1.5, "speed": 3, "early_stopping": {"patience": 0}},
            "trackers": [1],
            "modle": {},
        }
    )
    assert sorted(line.split(":")[0] for line in found) == sorted(
        [
            "seed",
            "model.adapter.name",
            "tasks.0.wieght",
            "tasks.1.valid",
            "tasks.1.name",
            "tuning.rank",
            "loss.options.gamma",
            "loss.options.inner.depth",
            "loss.more",
            "balancer.name",
            "training.epochs",
            "training.warmup",
            "training.speed",
            "training.early_stopping.patience",
            "trackers.0",
            "modle",
        ]
    )


def test_missing_sections(problems: Problems) -> None:
    assert [line.split(";")[0] for line in problems({})] == [
        "name: is missing",
        "output: is missing",
        "model: is missing",
        "tasks: is missing",
    ]


def test_a_long_value_is_cut(spec_dict: SpecDict, problems: Problems) -> None:
    (line,) = problems(spec_dict(data=["x" * 500]))
    assert len(line) < 200
    assert "..." in line
