"""The built-in evaluators: what a model can do, by its answers or its losses."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_evaluators(register: mftkit.Register) -> None:
    """Register each evaluator by import string."""
    register(
        "exact-match",
        "mftkit_plugins.evaluators.exact_match:ExactMatch",
        summary="share of the answers that are the reference",
    )
    register(
        "edit-similarity",
        "mftkit_plugins.evaluators.edit_similarity:EditSimilarity",
        summary="1 - edit distance to the reference / length",
    )
    register("bleu", "mftkit_plugins.evaluators.bleu:Bleu", summary="corpus BLEU, by sacrebleu")
    register(
        "chrf", "mftkit_plugins.evaluators.chrf:Chrf", summary="corpus chrF or chrF++, as sacrebleu has it"
    )
    register(
        "judge",
        "mftkit_plugins.evaluators.judge:Judge",
        summary="a chat model compares each answer with another one, in both orders",
    )
    register(
        "loss",
        "mftkit_plugins.evaluators.loss:Loss",
        summary="cross-entropy in nats per loss token, and perplexity, on any data",
    )
    register(
        "pass-at-k",
        "mftkit_plugins.evaluators.pass_at_k.evaluator:PassAtK",
        summary="share of programming problems solved within k answers; runs the answers with tests",
    )
    register(
        "tests-pass",
        "mftkit_plugins.evaluators.tests_pass.evaluator:TestsPass",
        summary="runs answers that are programs with tests, or answers that are tests with programs and mutants",
    )
    register(
        "sql",
        "mftkit_plugins.evaluators.sql.evaluator:Sql",
        summary="runs the answers' queries on SQLite databases and compares the results",
    )
