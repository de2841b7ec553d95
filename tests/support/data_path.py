"""Tokenizers, chat templates and small specs for tests of the data path."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mftkit.data.text.control_tokens import ControlTokens
from mftkit.data.text.encoder import Encoder
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.interfaces.task_format import FormatContext, FormattedSample, no_note
from mftkit.plugins import installed, kinds
from mftkit.spec import ChatSpec, DataSpec, MixingSpec, TaskSpec

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit_registry import LocalPlugin

TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "Write a function that adds two numbers.",
    "system user assistant human bot model <think> \n\n </think> [INST] [/INST] <<SYS>> header",
    "for i in range(10):\n    print(i)\n",
] * 3

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set talk = messages[1:] %}{% else %}{% set system = '' %}{% set talk = messages %}{% endif %}"
    "{% for m in talk %}{% set content = system + m['content'] if loop.first else m['content'] %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
THINKING = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% set content = m['content'] %}{% set thought = '' %}"
    "{% if m['role'] == 'assistant' and '</think>' in content %}"
    "{% set thought = content.split('</think>')[0].split('<think>')[-1].strip() %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and loop.index0 > ns.last %}"
    "<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
ENDLESS = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

SPECIAL = {
    CHATML: ["<|im_start|>", "<|im_end|>"],
    LLAMA3: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    LLAMA2: [],
    THINKING: ["<|im_start|>", "<|im_end|>"],
    GEMMA: ["<start_of_turn>", "<end_of_turn>"],
    ENDLESS: [],
}


def tokenizer(template: str | None = None, *, adds_bos: bool = False) -> Any:
    """A small byte-level BPE with a template's special tokens (and ``<think>``, which is none)."""
    from tokenizers import processors

    made: Any = train_bpe(TEXTS, 400)
    if template is not None:
        made.add_special_tokens({"additional_special_tokens": SPECIAL[template]})
        made.add_tokens(["<think>", "</think>"])
        made.chat_template = template
    if adds_bos:
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", made.bos_token_id)]
        )
    return made


def legacy_llama(template: str = LLAMA2) -> Any:
    """A BPE in the manner of Llama 2: a space before each text, bytes for what is unknown."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = [word for text in TEXTS for word in text.replace("\n", " ").split()]
    backend.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=500, special_tokens=first, show_progress=False)
    )
    state = json.loads(backend.to_str())
    state["added_tokens"] = state["added_tokens"][:3]  # the bytes are ordinary entries of the vocabulary
    backend = Tokenizer.from_str(json.dumps(state))
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.chat_template = template
    return made


@dataclass
class DataSections:
    """The sections of a spec that the data path reads."""

    tasks: list[TaskSpec]
    data: DataSpec = field(default_factory=DataSpec)
    chat: ChatSpec = field(default_factory=ChatSpec)
    max_length: int = 512
    seed: int = 7
    mixing: MixingSpec | None = None
    plugins: tuple[LocalPlugin, ...] = ()


def sections(cache: Path, *tasks: dict[str, Any], **changes: Any) -> Any:
    """A stand-in for a spec with these tasks, cached in ``cache``."""
    where = {"directory": cache}
    data = DataSpec.model_validate({"cache": str(cache), **changes.pop("data", {})}, context=where)
    made = [TaskSpec.model_validate(task, context=where) for task in tasks]
    return DataSections(made, data, ChatSpec.model_validate(changes.pop("chat", {})), **changes)


def chat_row(*contents: str, **more: Any) -> dict[str, Any]:
    """A row of the paper's format: human, bot, human, bot, ..."""
    roles = ("human", "bot")
    turns = [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]
    return {"chat_rounds": turns, **more}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a file of JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def text_samples(tok: Any, *texts: str) -> list[FormattedSample]:
    """Return the samples that the task format "text" makes of texts."""
    made = installed.build(kinds.TASK_FORMAT, "text", {})
    context = FormatContext("task", 0, no_note, eos=tok.eos_token or "")
    return [sample for text in texts for sample in made.samples(made.read({"text": text}, context), context)]


def text_encoder(tok: Any) -> Encoder:
    """Return the encoder of a format that has no control tokens."""
    return Encoder(tok, ControlTokens(tok, (), "auto"))
