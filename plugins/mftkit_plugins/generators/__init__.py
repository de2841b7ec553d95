"""The built-in data generators."""

from __future__ import annotations

import mftkit


@mftkit.hookimpl
def register_data_generators(register: mftkit.Register) -> None:
    """Register each generator by import string."""
    register(
        "python-source",
        "mftkit_plugins.generators.python_source.generator:PythonSource",
        summary="code tasks from installed Python source: completion, comment, text-to-code, repair",
    )
    register(
        "code-exercises",
        "mftkit_plugins.generators.code_exercises.generator:CodeExercises",
        summary="exercises and solutions from a list of topics, written by a chat model",
    )
    register(
        "self-instruct",
        "mftkit_plugins.generators.self_instruct.generator:SelfInstruct",
        summary="new tasks from a file of seed tasks, written by a chat model",
    )
    register(
        "camel",
        "mftkit_plugins.generators.camel.generator:Camel",
        summary="conversations between a student and a teacher, both chat models",
    )
