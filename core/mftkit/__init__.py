"""Multi-task fine-tuning of code models, plugin by plugin.

Everything a plugin or a script may use is here; each name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit import testing as testing
    from mftkit.batches.collate import collate
    from mftkit.chat_client import open_chat
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
    from mftkit_registry import MftError, hookimpl

    __version__: str

_HOMES = {
    "Balancer": "mftkit.interfaces.balancer",
    "Batch": "mftkit.interfaces.tokenization",
    "BudgetSpent": "mftkit.interfaces.chat",
    "Chat": "mftkit.interfaces.chat",
    "ChatError": "mftkit.interfaces.chat",
    "ChatModel": "mftkit.interfaces.chat",
    "ChatModelRef": "mftkit.spec.references",
    "ChatOptions": "mftkit.interfaces.chat",
    "ChatRequest": "mftkit.interfaces.chat",
    "Component": "mftkit.interfaces.component",
    "DataFilter": "mftkit.interfaces.data_filter",
    "Conversion": "mftkit.models.converted",
    "ConvertedAdapter": "mftkit.models.converted",
    "DataGenerator": "mftkit.interfaces.generator",
    "Execution": "mftkit.interfaces.executor",
    "Executor": "mftkit.interfaces.executor",
    "ExecutorRef": "mftkit.spec.references",
    "FilterContext": "mftkit.interfaces.data_filter",
    "Family": "mftkit.interfaces.family",
    "GenerationContext": "mftkit.chat_client.context",
    "GradientCombiner": "mftkit.interfaces.gradients",
    "Head": "mftkit.interfaces.model",
    "InstructFormat": "mftkit.interfaces.family",
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
    "collate": "mftkit.batches.collate",
    "hookimpl": "mftkit_registry",
    "load_model": "mftkit.models.result",
    "load_spec": "mftkit.spec",
    "open_chat": "mftkit.chat_client",
    "run": "mftkit.tools.run",
}

__all__ = [
    "Balancer",
    "Batch",
    "BudgetSpent",
    "Chat",
    "ChatError",
    "ChatModel",
    "ChatModelRef",
    "ChatOptions",
    "ChatRequest",
    "Component",
    "Conversion",
    "ConvertedAdapter",
    "DataFilter",
    "DataGenerator",
    "Execution",
    "Executor",
    "ExecutorRef",
    "Family",
    "FilterContext",
    "GenerationContext",
    "GradientCombiner",
    "Head",
    "InstructFormat",
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
    "collate",
    "hookimpl",
    "load_model",
    "load_spec",
    "open_chat",
    "run",
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
