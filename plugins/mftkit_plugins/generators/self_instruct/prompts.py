"""Prompts of ``self-instruct``. Changing one changes which replies are reused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.generators.self_instruct.seeds import Seed

INSTRUCTIONS = """Come up with {count} more tasks for an assistant that helps with programming. Make them differ \
in what is asked, in wording, in length and in difficulty. Each stands alone, and can be answered in text or \
code. Go on with the numbering, one task a line, and write nothing else.

{examples}
{next}."""
CLASSIFICATION = """Is the task a classification task, that is, is its output one of a few labels that are known \
before? Answer yes or no.

{examples}
Task: {instruction}
Classification:"""
INPUT_FIRST = """Make up {count} for the task below: an input that the task needs, then the right output. Where \
the task needs no input, leave it empty. Answer with JSON and nothing else, a list of objects: [{{"input": \
"...", "output": "..."}}, ...]

{examples}
Task: {instruction}
Examples:"""
OUTPUT_FIRST = """Make up {count} for the classification task below, of different labels where there are \
several: the label first, then an input that it is right for. Answer with JSON and nothing else, a list of \
objects: [{{"output": "the label", "input": "..."}}, ...]

{examples}
Task: {instruction}
Examples:"""
ALL = {
    "instructions": INSTRUCTIONS,
    "classification": CLASSIFICATION,
    "input first": INPUT_FIRST,
    "output first": OUTPUT_FIRST,
}


def instructions(shown: Sequence[str], count: int) -> str:
    """Return a prompt that asks for new tasks, after the tasks that are shown."""
    listed = "\n".join(f"{number}. {_one_line(text)}" for number, text in enumerate(shown, 1))
    return INSTRUCTIONS.format(examples=listed, next=len(shown) + 1, count=count)


def classification(instruction: str, seeds: Sequence[Seed]) -> str:
    """Return a prompt that asks whether a task is a classification, with known examples."""
    examples = "\n".join(
        f"Task: {_one_line(seed.instruction)}\nClassification: {'yes' if seed.classification else 'no'}"
        for seed in seeds
    )
    return CLASSIFICATION.format(examples=examples, instruction=instruction)


def instances(instruction: str, *, classification: bool, seeds: Sequence[Seed], count: int) -> str:
    """Return a prompt that asks for inputs and outputs; for classifications the output first, so that labels vary."""
    template = OUTPUT_FIRST if classification else INPUT_FIRST
    keys = ("output", "input") if classification else ("input", "output")
    examples = "\n\n".join(
        f"Task: {_one_line(seed.instruction)}\nExamples: "
        + json.dumps([{key: getattr(seed, key) for key in keys}], ensure_ascii=False)
        for seed in seeds
    )
    wanted = "an example" if count == 1 else f"{count} examples"
    return template.format(examples=examples, instruction=instruction, count=wanted)


def _one_line(text: str) -> str:
    return " ".join(text.split())
