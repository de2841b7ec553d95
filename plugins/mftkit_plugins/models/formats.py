r"""Chat formats of instruct models, each recognized by its control tokens.

They render what the publishers trained on, but add no default system prompt.
"""

from __future__ import annotations

import mftkit

_RAISE = "{%- else -%}{{ raise_exception('unknown role ' ~ message['role']) }}{%- endif -%}"


def _by_role(system: str, user: str, assistant: str, prompt: str, first: str = "") -> str:
    """Return a template with one expression per role; ``first`` begins the text, ``prompt`` begins an answer."""
    return (
        (f"{{{{ {first} }}}}" if first else "")
        + "{%- for message in messages -%}"
        + f"{{%- if message['role'] == 'system' -%}}{{{{ {system} }}}}"
        + f"{{%- elif message['role'] == 'user' -%}}{{{{ {user} }}}}"
        + f"{{%- elif message['role'] == 'assistant' -%}}{{{{ {assistant} }}}}"
        + _RAISE
        + f"{{%- endfor -%}}{{%- if add_generation_prompt -%}}{{{{ {prompt} }}}}{{%- endif -%}}"
    )


def _system_in_first_user(before: str, between: str, after: str, answer: str, prompt: str) -> str:
    """Return a template of a family without system turns: the content goes before that of the first user turn."""
    return (
        "{{ bos_token }}"
        "{%- set ns = namespace(system='') -%}"
        "{%- for message in messages -%}"
        "{%- if message['role'] == 'system' -%}{%- set ns.system = message['content'] + " + between + " -%}"
        "{%- elif message['role'] == 'user' -%}"
        "{{ " + before + " + ns.system + message['content'] + " + after + " }}{%- set ns.system = '' -%}"
        "{%- elif message['role'] == 'assistant' -%}{{ "
        + answer
        + " }}"
        + _RAISE
        + "{%- endfor -%}"
        + ("{%- if add_generation_prompt -%}{{ " + prompt + " }}{%- endif -%}" if prompt else "")
    )


def _tagged(opening: str, closing: str, end: str) -> str:
    """Return a template with ``opening role closing content end`` for each turn."""
    turn = f"'{opening}' + message['role'] + '{closing}' + message['content'] + '{end}'"
    return _by_role(turn, turn, turn, f"'{opening}assistant{closing}'")


CHATML = mftkit.InstructFormat(
    "ChatML",
    ("<|im_start|>",),
    "<|im_end|>",
    _tagged("<|im_start|>", "\\n", "<|im_end|>\\n"),
)
LLAMA_3 = mftkit.InstructFormat(
    "Llama 3 Instruct",
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    "<|eot_id|>",
    "{{ bos_token }}" + _tagged("<|start_header_id|>", "<|end_header_id|>\\n\\n", "<|eot_id|>"),
)
DEEPSEEK_CODER = mftkit.InstructFormat(
    "DeepSeek-Coder Instruct",
    ("<｜begin▁of▁sentence｜>",),
    "<|EOT|>",
    _by_role(
        "message['content'] + '\\n'",
        "'### Instruction:\\n' + message['content'] + '\\n'",
        "'### Response:\\n' + message['content'] + '\\n<|EOT|>\\n'",
        "'### Response:\\n'",
        first="bos_token",
    ),
)
DEEPSEEK = mftkit.InstructFormat(
    "DeepSeek-V2.5 and V3 Chat",
    ("<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
    "<｜end▁of▁sentence｜>",
    _by_role(
        "message['content']",
        "'<｜User｜>' + message['content'] + '<｜Assistant｜>'",
        "message['content'] + '<｜end▁of▁sentence｜>'",
        "''",
        first="bos_token",
    ),
)
MISTRAL = mftkit.InstructFormat(
    "Mistral Instruct",
    ("[INST]", "[/INST]"),
    "</s>",
    _system_in_first_user("'[INST] '", "'\\n\\n'", "'[/INST]'", "' ' + message['content'] + '</s>'", ""),
)
STARCHAT = mftkit.InstructFormat(
    "StarChat",
    ("<|system|>", "<|user|>", "<|assistant|>"),
    "<|end|>",
    _tagged("<|", "|>\\n", "<|end|>\\n"),
)
PHI_3 = mftkit.InstructFormat("Phi-3 Instruct", STARCHAT.tokens, STARCHAT.end, STARCHAT.template)
GEMMA = mftkit.InstructFormat(
    "Gemma Instruct",
    ("<start_of_turn>",),
    "<end_of_turn>",
    _system_in_first_user(
        "'<start_of_turn>user\\n'",
        "'\\n\\n'",
        "'<end_of_turn>\\n'",
        "'<start_of_turn>model\\n' + message['content'] + '<end_of_turn>\\n'",
        "'<start_of_turn>model\\n'",
    ),
)
GLM_4 = mftkit.InstructFormat(
    "GLM-4 Chat",
    ("[gMASK]", "<sop>", "<|system|>", "<|assistant|>"),
    "<|user|>",
    "[gMASK]<sop>"
    + _by_role(
        "'<|system|>\\n' + message['content']",
        "'<|user|>\\n' + message['content']",
        "'<|assistant|>\\n' + message['content']",
        "'<|assistant|>\\n'",
    ),
)
CODEFUSE = mftkit.InstructFormat(
    "CodeFuse-13B",
    ("<|role_start|>", "<|role_end|>"),
    "<|endoftext|>",
    _by_role(
        "'<|role_start|>system<|role_end|>' + message['content']",
        "'<|role_start|>human<|role_end|>' + message['content']",
        "'<|role_start|>bot<|role_end|>' + message['content'] + '<|endoftext|>'",
        "'<|role_start|>bot<|role_end|>'",
    ),
)
