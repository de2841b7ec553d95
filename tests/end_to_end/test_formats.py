"""Four formats of tasks in one run: the result answers with the tokens that were trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mftkit
from commands import mft
from mftkit.data.corpus import Corpus, prepare
from mftkit.reporting.reporter import Reporter

EXAMPLES = Path(__file__).parents[2] / "examples"


class Trained:
    """A finished run of the example, its result loaded by transformers alone."""

    def __init__(self, spec_path: Path, run: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(run / "model")
        self.model: Any = AutoModelForCausalLM.from_pretrained(run / "model")
        spec = mftkit.load_spec(spec_path)
        tokenizer = AutoTokenizer.from_pretrained(spec_path.parent / "formats" / "tokenizer")
        self.corpus: Corpus = prepare(spec, tokenizer, Reporter())

    def samples(self, task: int) -> list[tuple[list[int], list[int]]]:
        """Of each sample of a task: the tokens before its last stretch of loss tokens, and that stretch."""
        found = []
        for number in range(len(self.corpus.train)):
            sample = self.corpus.train[number]
            if sample.task == task:
                end = int(sample.loss_mask.nonzero()[0][-1]) + 1
                start = end
                while start and sample.loss_mask[start - 1]:
                    start -= 1
                found.append((sample.tokens[:start].tolist(), sample.tokens[start:end].tolist()))
        return found

    def generated(self, prompt: list[int]) -> list[int]:
        with torch.no_grad():
            made = self.model.generate(
                torch.tensor([prompt]), do_sample=False, max_new_tokens=80,
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            )  # fmt: skip
        return list(made[0, len(prompt) :].tolist())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("formats")
    shutil.copytree(EXAMPLES / "formats", place / "formats")
    spec = json.loads((EXAMPLES / "formats.json").read_text())
    (place / "formats.json").write_text(json.dumps({**spec, "output": "run", "data": {"cache": "cache"}}))
    done = mft("run", "formats.json", cwd=place)
    assert done.returncode == 0, done.stderr
    return Trained(place / "formats.json", place / "run")


def test_answers_after_results_of_tools_and_reasoning_are_those_that_were_trained(trained: Trained) -> None:
    for task in (0, 1):
        samples = trained.samples(task)
        right = [trained.generated(prompt) == answer for prompt, answer in samples]
        assert sum(right) >= len(right) - 1, right  # a tiny model may mix up one city or one sum


def test_a_call_is_made_after_the_prompt_of_apply_chat_template(trained: Trained) -> None:
    rows = [json.loads(line) for line in (EXAMPLES / "formats" / "tools.jsonl").read_text().splitlines()]
    right = 0
    for row in rows:
        prompt = trained.tokenizer.apply_chat_template(
            row["messages"][:2], tools=row["tools"], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        call = row["messages"][2]["tool_calls"][0]["function"]
        text = trained.tokenizer.decode(trained.generated(prompt))
        right += text == f"<tool_call>\n{json.dumps(call)}\n</tool_call><|im_end|>"
    assert right >= len(rows) - 1


def test_reasoning_comes_before_the_answer_and_ends_where_the_template_ends_it(trained: Trained) -> None:
    rows = [json.loads(line) for line in (EXAMPLES / "formats" / "reasoning.jsonl").read_text().splitlines()]
    for row in rows[:3]:
        ask, answer = row["messages"]
        prompt = trained.tokenizer.apply_chat_template([ask], add_generation_prompt=True, return_dict=True)
        text = trained.tokenizer.decode(trained.generated(prompt["input_ids"]))
        assert text == f"<think>\n{answer['reasoning_content']}\n</think>\n{answer['content']}<|im_end|>"


def test_texts_are_continued_to_their_end(trained: Trained) -> None:
    for tokens, rest in trained.samples(2)[:3]:
        assert trained.generated([*tokens, *rest[:4]]) == rest[4:]


def test_a_middle_is_written_between_prefix_and_suffix(trained: Trained, tmp_path: Path) -> None:
    # A prefix that begins several texts has several right middles; one that is longer has one.
    samples = trained.samples(3)
    middle = trained.tokenizer.convert_tokens_to_ids("<|fim_middle|>")
    right = 0
    for tokens, rest in samples:
        whole = [*tokens, *rest]
        start = whole.index(middle) + 1
        right += trained.generated(whole[:start]) == whole[start:]
    assert right >= len(samples) - 2  # some middles have several right answers


def test_the_result_stops_at_every_token_that_ends_an_answer(trained: Trained) -> None:
    ends = trained.model.generation_config.eos_token_id
    stops = {trained.tokenizer.convert_tokens_to_ids(text) for text in ("<|im_end|>", "<|endoftext|>")}
    assert stops <= set(ends)
