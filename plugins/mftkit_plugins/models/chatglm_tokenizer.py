"""The tokenizer of ChatGLM2, ChatGLM3 and CodeGeeX2: sentencepiece, and command tokens after its pieces."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit import checkpoint_file
from mftkit_plugins.models.sentencepiece_backend import read_sentencepiece
from mftkit_plugins.models.tokenizer_files import kept_settings, tokenizer_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mftkit import JsonObject

COMMANDS = ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop")
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
"""Further command tokens of ChatGLM3."""
START = ("[gMASK]", "sop")
"""The tokens that every text begins with."""
ROLES_TEMPLATE = (
    "{% for message in messages %}{% if loop.first %}[gMASK]sop{% endif %}"
    "<|{{ message['role'] }}|>\n {{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ROUNDS_TEMPLATE = (
    "[gMASK]sop{% set ns = namespace(round=0) %}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{% set ns.round = ns.round + 1 %}"
    "[Round {{ ns.round }}]\n\n问：{{ message['content'] }}\n\n答："
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}{{ '' if loop.last else '\n\n' }}"
    "{% else %}{{ message['content'] }}\n\n{% endif %}{% endfor %}"
)
"""ChatGLM2 and CodeGeeX2 number the rounds and have no roles; a system message stands before the first round."""


def chatglm_tokenizer(path: str, config: JsonObject) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of a checkpoint; None if it has no ``tokenizer.model``."""
    from tokenizers.processors import TemplateProcessing

    from mftkit_plugins.models.command_tokenizer import CommandTokenizer

    file = checkpoint_file(path, "tokenizer.model")
    if file is None:
        return None
    settings = tokenizer_config(path)
    third = _has_roles(path, config, settings)
    pieces = read_sentencepiece(file, (*COMMANDS, *ROLES) if third else COMMANDS)
    used = (*START, str(pieces.end))
    pieces.tokenizer.post_processor = TemplateProcessing(
        single=" ".join((*START, "$A")),
        pair=" ".join((*START, "$A", "$B", str(pieces.end))),
        special_tokens=[(token, pieces.tokenizer.token_to_id(token)) for token in used],
    )
    return CommandTokenizer(
        tokenizer_object=pieces.tokenizer,
        unk_token=pieces.unknown,
        bos_token=pieces.begin,
        eos_token=pieces.end,
        pad_token=pieces.unknown,
        padding_side="left",
        **kept_settings(settings, ROLES_TEMPLATE if third else ROUNDS_TEMPLATE),
    )


def _has_roles(path: str, config: JsonObject, settings: JsonObject) -> bool:
    """Return True for ChatGLM3, which is recognized by name alone, because its files equal those of ChatGLM2.

    The first name that contains a generation decides: the config's, the tokenizer's, then the parts of the path from
    its end.
    """
    if "<|user|>" in str(settings):
        return True
    directory = Path(path).expanduser()
    parts = reversed((directory.resolve() if directory.is_dir() else directory).parts)
    for name in (config.get("_name_or_path"), settings.get("name_or_path"), *parts):
        if found := re.search("chatglm([23])|codegeex2", str(name).lower()):
            return found[1] == "3"
    return False
