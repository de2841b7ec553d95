"""Multi-task fine-tuning of code models, plugin by plugin.

Everything that a plugin or a script may use is here; each name is imported on first use. A public name stands in the
imports for type checkers and in the table below; a test checks that the two agree.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit import testing as testing
    from mftkit.base.credentials import keep_secret as keep_secret
    from mftkit.base.credentials import names_secret as names_secret
    from mftkit.base.credentials import without_secrets as without_secrets
    from mftkit.base.json_types import JsonObject as JsonObject
    from mftkit.base.quiet import without_peft_noise as without_peft_noise
    from mftkit.base.reasoning import REASONING_TOKENS as REASONING_TOKENS
    from mftkit.base.reasoning import opened_reasoning as opened_reasoning
    from mftkit.base.reasoning import split_reasoning as split_reasoning
    from mftkit.batches.collate import collate as collate
    from mftkit.chat_client import open_chat as open_chat
    from mftkit.data.rows.code_blocks import CodeBlock as CodeBlock
    from mftkit.data.rows.code_blocks import answer_code as answer_code
    from mftkit.data.rows.code_blocks import code_blocks as code_blocks
    from mftkit.data.rows.code_blocks import without_code_blocks as without_code_blocks
    from mftkit.data.rows.faults import BadRow as BadRow
    from mftkit.data.rows.faults import RowError as RowError
    from mftkit.data.rows.files import FileSource as FileSource
    from mftkit.data.rows.formats import TextContent as TextContent
    from mftkit.data.rows.formats import read_conversation as read_conversation
    from mftkit.data.rows.formats import read_text as read_text
    from mftkit.data.rows.row_texts import RowTexts as RowTexts
    from mftkit.data.rows.row_texts import row_texts as row_texts
    from mftkit.data.rows.row_texts import with_answer as with_answer
    from mftkit.data.text.chat_format import chat_format as chat_format
    from mftkit.interfaces import API_VERSION as API_VERSION
    from mftkit.interfaces.balancer import Balancer as Balancer
    from mftkit.interfaces.callback import Callback as Callback
    from mftkit.interfaces.chat import BudgetSpent as BudgetSpent
    from mftkit.interfaces.chat import Chat as Chat
    from mftkit.interfaces.chat import ChatError as ChatError
    from mftkit.interfaces.chat import ChatModel as ChatModel
    from mftkit.interfaces.chat import ChatOptions as ChatOptions
    from mftkit.interfaces.chat import ChatRequest as ChatRequest
    from mftkit.interfaces.chat import Reply as Reply
    from mftkit.interfaces.component import Component as Component
    from mftkit.interfaces.component import Options as Options
    from mftkit.interfaces.component import SpecLocation as SpecLocation
    from mftkit.interfaces.component import SpecPath as SpecPath
    from mftkit.interfaces.component import TaskInfo as TaskInfo
    from mftkit.interfaces.conversation import Conversation as Conversation
    from mftkit.interfaces.conversation import ToolCall as ToolCall
    from mftkit.interfaces.conversation import Turn as Turn
    from mftkit.interfaces.data_filter import DataFilter as DataFilter
    from mftkit.interfaces.data_filter import FilterContext as FilterContext
    from mftkit.interfaces.engine import Engine as Engine
    from mftkit.interfaces.engine import ProcessGroup as ProcessGroup
    from mftkit.interfaces.evaluator import Answer as Answer
    from mftkit.interfaces.evaluator import Answered as Answered
    from mftkit.interfaces.evaluator import EvaluationContext as EvaluationContext
    from mftkit.interfaces.evaluator import EvaluationPrompt as EvaluationPrompt
    from mftkit.interfaces.evaluator import EvaluationRow as EvaluationRow
    from mftkit.interfaces.evaluator import Evaluator as Evaluator
    from mftkit.interfaces.evaluator import Metric as Metric
    from mftkit.interfaces.evaluator import Verdict as Verdict
    from mftkit.interfaces.executor import PYTHON as PYTHON
    from mftkit.interfaces.executor import Execution as Execution
    from mftkit.interfaces.executor import Executor as Executor
    from mftkit.interfaces.executor import Limits as Limits
    from mftkit.interfaces.executor import Program as Program
    from mftkit.interfaces.executor import Session as Session
    from mftkit.interfaces.family import Family as Family
    from mftkit.interfaces.family import InstructFormat as InstructFormat
    from mftkit.interfaces.generator import DataGenerator as DataGenerator
    from mftkit.interfaces.generator import GenerationContext as GenerationContext
    from mftkit.interfaces.gradients import GradientCombiner as GradientCombiner
    from mftkit.interfaces.loss import Loss as Loss
    from mftkit.interfaces.loss import Tokens as Tokens
    from mftkit.interfaces.loss import Totals as Totals
    from mftkit.interfaces.mixer import Mixer as Mixer
    from mftkit.interfaces.model import Head as Head
    from mftkit.interfaces.model import LoadRequest as LoadRequest
    from mftkit.interfaces.model import ModelAdapter as ModelAdapter
    from mftkit.interfaces.optimizer import Optimizer as Optimizer
    from mftkit.interfaces.optimizer import ParameterGroup as ParameterGroup
    from mftkit.interfaces.optimizer import TrainedParameter as TrainedParameter
    from mftkit.interfaces.run_info import RunInfo as RunInfo
    from mftkit.interfaces.schedule import Schedule as Schedule
    from mftkit.interfaces.sharding import Sharding as Sharding
    from mftkit.interfaces.task_format import FormatContext as FormatContext
    from mftkit.interfaces.task_format import FormattedSample as FormattedSample
    from mftkit.interfaces.task_format import Note as Note
    from mftkit.interfaces.task_format import Piece as Piece
    from mftkit.interfaces.task_format import RowContent as RowContent
    from mftkit.interfaces.task_format import Segment as Segment
    from mftkit.interfaces.task_format import TaskFormat as TaskFormat
    from mftkit.interfaces.tokenization import Batch as Batch
    from mftkit.interfaces.tokenization import Layout as Layout
    from mftkit.interfaces.tokenization import MicroBatch as MicroBatch
    from mftkit.interfaces.tokenization import Sample as Sample
    from mftkit.interfaces.tokenization import TokenizationMode as TokenizationMode
    from mftkit.interfaces.tracker import Tracker as Tracker
    from mftkit.interfaces.tuning import Tuning as Tuning
    from mftkit.models.converted import Conversion as Conversion
    from mftkit.models.converted import ConvertedAdapter as ConvertedAdapter
    from mftkit.models.converted import checkpoint_file as checkpoint_file
    from mftkit.models.legacy_config import LegacyConfig as LegacyConfig
    from mftkit.models.moe import MoEAdapter as MoEAdapter
    from mftkit.models.moe import RouterOutputs as RouterOutputs
    from mftkit.models.native import DecoderOutputs as DecoderOutputs
    from mftkit.models.native import NativeAdapter as NativeAdapter
    from mftkit.plugins.installed import build_component as build_component
    from mftkit.reporting.reporter import Reporter as Reporter
    from mftkit.runs.reference_loading import load_model as load_model
    from mftkit.spec import load_spec as load_spec
    from mftkit.spec.paths import SpecPathOrHubId as SpecPathOrHubId
    from mftkit.spec.references import ChatModelRef as ChatModelRef
    from mftkit.spec.references import ExecutorRef as ExecutorRef
    from mftkit.tools.api.compare import CompareResult as CompareResult
    from mftkit.tools.api.compare import compare as compare
    from mftkit.tools.api.evaluate import EvaluationResult as EvaluationResult
    from mftkit.tools.api.evaluate import evaluate as evaluate
    from mftkit.tools.api.merge import MergeResult as MergeResult
    from mftkit.tools.api.merge import merge as merge
    from mftkit.tools.api.report import report as report
    from mftkit.tools.api.run import run as run
    from mftkit.tools.api.run_result import BestLoss as BestLoss
    from mftkit.tools.api.run_result import RunResult as RunResult
    from mftkit.tools.api.run_result import open_run as open_run
    from mftkit.tools.push.push import push as push
    from mftkit_registry import MftError as MftError
    from mftkit_registry import MftWarning as MftWarning
    from mftkit_registry import Register as Register
    from mftkit_registry import hookimpl as hookimpl
    from mftkit_registry import nearest as nearest

    __version__: str

_NAMES = {
    "mftkit.base.credentials": "keep_secret names_secret without_secrets",
    "mftkit.base.json_types": "JsonObject",
    "mftkit.base.quiet": "without_peft_noise",
    "mftkit.base.reasoning": "REASONING_TOKENS opened_reasoning split_reasoning",
    "mftkit.batches.collate": "collate",
    "mftkit.chat_client": "open_chat",
    "mftkit.chat_client.context": "GenerationContext",
    "mftkit.data.rows.code_blocks": "CodeBlock answer_code code_blocks without_code_blocks",
    "mftkit.data.rows.files": "FileSource",
    "mftkit.data.rows.faults": "BadRow RowError",
    "mftkit.data.rows.formats": "TextContent read_conversation read_text",
    "mftkit.data.rows.row_texts": "RowTexts row_texts with_answer",
    "mftkit.data.text.chat_format": "chat_format",
    "mftkit.interfaces": "API_VERSION",
    "mftkit.interfaces.balancer": "Balancer",
    "mftkit.interfaces.callback": "Callback",
    "mftkit.interfaces.chat": "BudgetSpent Chat ChatError ChatModel ChatOptions ChatRequest Reply",
    "mftkit.interfaces.component": "Component Options SpecLocation SpecPath TaskInfo",
    "mftkit.interfaces.conversation": "Conversation ToolCall Turn",
    "mftkit.interfaces.data_filter": "DataFilter FilterContext",
    "mftkit.interfaces.engine": "Engine ProcessGroup",
    "mftkit.interfaces.evaluator": (
        "Answer Answered EvaluationContext EvaluationPrompt EvaluationRow Evaluator Metric Verdict"
    ),
    "mftkit.interfaces.executor": "Execution Executor Limits PYTHON Program Session",
    "mftkit.interfaces.family": "Family InstructFormat",
    "mftkit.interfaces.generator": "DataGenerator",
    "mftkit.interfaces.gradients": "GradientCombiner",
    "mftkit.interfaces.loss": "Loss Tokens Totals",
    "mftkit.interfaces.mixer": "Mixer",
    "mftkit.interfaces.model": "Head LoadRequest ModelAdapter",
    "mftkit.interfaces.optimizer": "Optimizer ParameterGroup TrainedParameter",
    "mftkit.interfaces.run_info": "RunInfo",
    "mftkit.interfaces.schedule": "Schedule",
    "mftkit.interfaces.sharding": "Sharding",
    "mftkit.interfaces.task_format": "FormatContext FormattedSample Note Piece RowContent Segment TaskFormat",
    "mftkit.interfaces.tokenization": "Batch Layout MicroBatch Sample TokenizationMode",
    "mftkit.interfaces.tracker": "Tracker",
    "mftkit.interfaces.tuning": "Tuning",
    "mftkit.models.converted": "Conversion ConvertedAdapter checkpoint_file",
    "mftkit.models.legacy_config": "LegacyConfig",
    "mftkit.models.moe": "MoEAdapter RouterOutputs",
    "mftkit.models.native": "DecoderOutputs NativeAdapter",
    "mftkit.plugins.installed": "build_component",
    "mftkit.reporting.reporter": "Reporter",
    "mftkit.runs.reference_loading": "load_model",
    "mftkit.spec": "load_spec",
    "mftkit.spec.paths": "SpecPathOrHubId",
    "mftkit.spec.references": "ChatModelRef ExecutorRef",
    "mftkit.tools.api.compare": "CompareResult compare",
    "mftkit.tools.api.evaluate": "EvaluationResult evaluate",
    "mftkit.tools.api.merge": "MergeResult merge",
    "mftkit.tools.api.report": "report",
    "mftkit.tools.api.run": "run",
    "mftkit.tools.api.run_result": "BestLoss RunResult open_run",
    "mftkit.tools.push.push": "push",
    "mftkit_registry": "Register MftError MftWarning hookimpl nearest",
}
"""The public names, by the module that defines them."""
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
_RENAMED = {"MixtureAdapter": "MoEAdapter"}
"""Old public names and their new ones."""

__all__ = sorted([*_MODULE_OF, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        what = f"mftkit.{name} is now mftkit.{_RENAMED[name]}; the old name will be removed"
        warnings.warn(what, DeprecationWarning, stacklevel=2)
        return __getattr__(_RENAMED[name])
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("mftkit")
    elif name == "testing":  # heavy, so it is not among the names that ``import *`` gives
        value = importlib.import_module("mftkit.testing")
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
