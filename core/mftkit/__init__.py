"""Multi-task fine-tuning of code models, plugin by plugin.

Everything a plugin or a script may use is here; each name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit import testing as testing
    from mftkit.base.json_types import JsonObject
    from mftkit.batches.collate import collate
    from mftkit.chat_client import open_chat
    from mftkit.data.rows.code_blocks import CodeBlock, code_blocks, without_code_blocks
    from mftkit.data.rows.files import FileSource
    from mftkit.data.rows.formats import BadRow, RowError
    from mftkit.data.rows.row_texts import RowTexts, row_texts, with_answer
    from mftkit.interfaces.balancer import Balancer
    from mftkit.interfaces.chat import (
        BudgetSpent,
        Chat,
        ChatError,
        ChatModel,
        ChatOptions,
        ChatRequest,
        Reply,
    )
    from mftkit.interfaces.component import Component, Options, SpecPath, TaskInfo
    from mftkit.interfaces.data_filter import DataFilter, FilterContext
    from mftkit.interfaces.executor import Execution, Executor, Limits, Program
    from mftkit.interfaces.family import Family, InstructFormat
    from mftkit.interfaces.generator import DataGenerator, GenerationContext
    from mftkit.interfaces.gradients import GradientCombiner
    from mftkit.interfaces.loss import Loss, Tokens, Totals
    from mftkit.interfaces.model import Head, LoadRequest, ModelAdapter
    from mftkit.interfaces.run_info import RunInfo
    from mftkit.interfaces.tokenization import Batch, Layout, MicroBatch, Sample, TokenizationMode
    from mftkit.interfaces.tracker import Tracker
    from mftkit.interfaces.tuning import Tuning
    from mftkit.models.converted import Conversion, ConvertedAdapter
    from mftkit.models.moe import MoEAdapter
    from mftkit.models.native import NativeAdapter
    from mftkit.models.result import load_model
    from mftkit.plugins.hookspecs import Register
    from mftkit.spec import load_spec
    from mftkit.spec.paths import SpecPathOrHubId
    from mftkit.spec.references import ChatModelRef, ExecutorRef
    from mftkit.tools.run import run
    from mftkit_registry import MftError, hookimpl, nearest

    __version__: str

_HOMES = {
    "BadRow": "mftkit.data.rows.formats",
    "Balancer": "mftkit.interfaces.balancer",
    "Batch": "mftkit.interfaces.tokenization",
    "BudgetSpent": "mftkit.interfaces.chat",
    "Chat": "mftkit.interfaces.chat",
    "ChatError": "mftkit.interfaces.chat",
    "ChatModel": "mftkit.interfaces.chat",
    "ChatModelRef": "mftkit.spec.references",
    "ChatOptions": "mftkit.interfaces.chat",
    "ChatRequest": "mftkit.interfaces.chat",
    "CodeBlock": "mftkit.data.rows.code_blocks",
    "Component": "mftkit.interfaces.component",
    "DataFilter": "mftkit.interfaces.data_filter",
    "Conversion": "mftkit.models.converted",
    "ConvertedAdapter": "mftkit.models.converted",
    "DataGenerator": "mftkit.interfaces.generator",
    "Execution": "mftkit.interfaces.executor",
    "Executor": "mftkit.interfaces.executor",
    "ExecutorRef": "mftkit.spec.references",
    "FileSource": "mftkit.data.rows.files",
    "FilterContext": "mftkit.interfaces.data_filter",
    "Family": "mftkit.interfaces.family",
    "GenerationContext": "mftkit.chat_client.context",
    "GradientCombiner": "mftkit.interfaces.gradients",
    "Head": "mftkit.interfaces.model",
    "InstructFormat": "mftkit.interfaces.family",
    "JsonObject": "mftkit.base.json_types",
    "Layout": "mftkit.interfaces.tokenization",
    "Limits": "mftkit.interfaces.executor",
    "LoadRequest": "mftkit.interfaces.model",
    "Loss": "mftkit.interfaces.loss",
    "MftError": "mftkit_registry",
    "MicroBatch": "mftkit.interfaces.tokenization",
    "MoEAdapter": "mftkit.models.moe",
    "ModelAdapter": "mftkit.interfaces.model",
    "NativeAdapter": "mftkit.models.native",
    "Options": "mftkit.interfaces.component",
    "Program": "mftkit.interfaces.executor",
    "Register": "mftkit.plugins.hookspecs",
    "Reply": "mftkit.interfaces.chat",
    "RowError": "mftkit.data.rows.formats",
    "RowTexts": "mftkit.data.rows.row_texts",
    "RunInfo": "mftkit.interfaces.run_info",
    "Sample": "mftkit.interfaces.tokenization",
    "SpecPath": "mftkit.interfaces.component",
    "SpecPathOrHubId": "mftkit.spec.paths",
    "TaskInfo": "mftkit.interfaces.component",
    "TokenizationMode": "mftkit.interfaces.tokenization",
    "Tokens": "mftkit.interfaces.loss",
    "Totals": "mftkit.interfaces.loss",
    "Tracker": "mftkit.interfaces.tracker",
    "Tuning": "mftkit.interfaces.tuning",
    "code_blocks": "mftkit.data.rows.code_blocks",
    "collate": "mftkit.batches.collate",
    "hookimpl": "mftkit_registry",
    "load_model": "mftkit.models.result",
    "load_spec": "mftkit.spec",
    "nearest": "mftkit_registry",
    "open_chat": "mftkit.chat_client",
    "row_texts": "mftkit.data.rows.row_texts",
    "run": "mftkit.tools.run",
    "with_answer": "mftkit.data.rows.row_texts",
    "without_code_blocks": "mftkit.data.rows.code_blocks",
}

__all__ = [
    "BadRow",
    "Balancer",
    "Batch",
    "BudgetSpent",
    "Chat",
    "ChatError",
    "ChatModel",
    "ChatModelRef",
    "ChatOptions",
    "ChatRequest",
    "CodeBlock",
    "Component",
    "Conversion",
    "ConvertedAdapter",
    "DataFilter",
    "DataGenerator",
    "Execution",
    "Executor",
    "ExecutorRef",
    "Family",
    "FileSource",
    "FilterContext",
    "GenerationContext",
    "GradientCombiner",
    "Head",
    "InstructFormat",
    "JsonObject",
    "Layout",
    "Limits",
    "LoadRequest",
    "Loss",
    "MftError",
    "MicroBatch",
    "MoEAdapter",
    "ModelAdapter",
    "NativeAdapter",
    "Options",
    "Program",
    "Register",
    "Reply",
    "RowError",
    "RowTexts",
    "RunInfo",
    "Sample",
    "SpecPath",
    "SpecPathOrHubId",
    "TaskInfo",
    "TokenizationMode",
    "Tokens",
    "Totals",
    "Tracker",
    "Tuning",
    "__version__",
    "code_blocks",
    "collate",
    "hookimpl",
    "load_model",
    "load_spec",
    "nearest",
    "open_chat",
    "row_texts",
    "run",
    "with_answer",
    "without_code_blocks",
]


def __getattr__(name: str) -> object:
    if name == "MixtureAdapter":
        what = "mftkit.MixtureAdapter is now mftkit.MoEAdapter; the old name will be removed"
        warnings.warn(what, DeprecationWarning, stacklevel=2)
        return __getattr__("MoEAdapter")
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("mftkit")
    elif name == "testing":  # heavy, so not among the names that ``import *`` gives
        value = importlib.import_module("mftkit.testing")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
