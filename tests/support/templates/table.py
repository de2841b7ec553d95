"""The chats: one row for each template, with what its real namesake's tokenizer and generation_config have."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from templates.chat import Chat, Feature, plain, special, template

_ALL: frozenset[Feature] = frozenset(get_args(Feature))

_LLAMA_3_1 = Chat(
    "Llama 3.1",
    template("llama_3_1"),
    special(
        *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
        *("<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>"),
    ),
    eos="<|eot_id|>",
    stops=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
    bos="<|begin_of_text|>",
    pad="<|finetune_right_pad_id|>",
    start=("<|begin_of_text|>",),
    supports=frozenset({"system", "users in a row", "tools", "calls", "calls without tools"}),
)
_QWEN = special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_QWEN_PLAIN = plain("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_QWEN_2_5 = Chat(
    "Qwen 2.5",
    template("qwen_2_5"),
    (*_QWEN, *_QWEN_PLAIN),
    eos="<|im_end|>",
    stops=("<|im_end|>", "<|endoftext|>"),
    pad="<|endoftext|>",
    supports=_ALL,
)
_QWEN_3 = Chat(
    "Qwen 3",
    template("qwen_3"),
    (*_QWEN, *_QWEN_PLAIN, *plain("<tool_response>", "</tool_response>", "<think>", "</think>")),
    eos="<|im_end|>",
    stops=("<|im_end|>", "<|endoftext|>"),
    pad="<|endoftext|>",
    supports=_ALL,
    reasoning="reasoning_content",
    reasoning_shown="after the last question",
    prompt_options=({"enable_thinking": False},),
)
_MISTRAL = Chat(
    "Mistral v0.3",
    template("mistral_v0_3"),
    special(
        *("[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
        *("[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    ),
    eos="</s>",
    stops=("</s>",),
    opening="[/INST]",
    bos="<s>",
    start=("<s>",),
    vocabulary="llama2",
    supports=frozenset({"system", "tools", "calls", "calls without tools", "parallel calls"}),
)
_GEMMA_2 = Chat(
    "Gemma 2",
    template("gemma_2"),
    (*special("<start_of_turn>", "<end_of_turn>"), *plain("\n\n", "\n\n\n", "<table>")),
    eos="<eos>",
    stops=("<eos>", "<end_of_turn>"),
    bos="<bos>",
    pad="<pad>",
    start=("<bos>",),
    vocabulary="gemma",
)
_GEMMA_3 = Chat(
    "Gemma 3",
    template("gemma_3"),
    _GEMMA_2.added,
    eos="<eos>",
    stops=("<eos>", "<end_of_turn>"),
    bos="<bos>",
    pad="<pad>",
    start=("<bos>",),
    vocabulary="gemma",
    supports=frozenset({"system"}),
)
_PHI_3_5 = Chat(
    "Phi 3.5",
    template("phi_3_5"),
    (*special("<|endoftext|>"), *special("<|assistant|>", "<|system|>", "<|end|>", "<|user|>", rstrip=True)),
    eos="<|endoftext|>",
    stops=("<|end|>", "<|assistant|>", "<|endoftext|>"),
    bos="<s>",
    pad="<|endoftext|>",
    vocabulary="llama2",
    supports=frozenset({"system", "users in a row"}),
)
_PHI_4 = Chat(
    "Phi 4",
    template("phi_4"),
    special("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", lstrip=True, rstrip=True),
    eos="<|im_end|>",
    stops=("<|endoftext|>", "<|im_end|>"),
    bos="<|endoftext|>",
    pad="<|endoftext|>",
    supports=frozenset({"system", "users in a row"}),
)
_PHI_4_MINI = Chat(
    "Phi 4 mini",
    template("phi_4_mini"),
    (
        *special("<|endoftext|>"),
        *special("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", rstrip=True),
        *plain("<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>", "<|tool_response|>"),
    ),
    eos="<|endoftext|>",
    stops=("<|end|>", "<|endoftext|>"),
    bos="<|endoftext|>",
    pad="<|endoftext|>",
    supports=frozenset({"system", "users in a row"}),
)
_DEEPSEEK_R1 = Chat(
    "DeepSeek R1",
    template("deepseek_r1"),
    (
        *special("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"),
        *plain("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜tool▁sep｜>"),
        *plain(
            "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
        ),
        *plain("<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"),
        *plain("<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"),
    ),
    eos="<｜end▁of▁sentence｜>",
    stops=("<｜end▁of▁sentence｜>",),
    opening="<｜Assistant｜>",
    bos="<｜begin▁of▁sentence｜>",
    pad="<｜▁pad▁｜>",
    start=("<｜begin▁of▁sentence｜>",),
    supports=_ALL - {"tools"},
    arguments="string",
    prompt_end="<think>\n",
)
_GLM_4 = Chat(
    "GLM-4",
    template("glm_4"),
    special(
        *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"),
        *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    ),
    eos="<|endoftext|>",
    stops=("<|endoftext|>", "<|user|>", "<|observation|>"),
    pad="<|endoftext|>",
    start=("[gMASK]", "<sop>"),
    supports=_ALL,
    unclosed=("<|user|>", "<|observation|>"),
)
_GPT_OSS = Chat(
    "gpt-oss",
    template("gpt_oss"),
    special(
        *("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>"),
        *("<|start|>", "<|end|>", "<|message|>", "<|call|>"),
    ),
    eos="<|return|>",
    stops=("<|return|>", "<|call|>", "<|endoftext|>"),
    opening="<|start|>assistant",
    bos="<|startoftext|>",
    pad="<|endoftext|>",
    supports=_ALL - {"parallel calls"},
    reasoning="thinking",
    reasoning_shown="last answer",
)
_COMMAND_R = Chat(
    "Command R",
    {
        "default": template("command_r"),
        "tool_use": template("command_r_tool_use"),
        "rag": template("command_r_rag"),
    },
    (
        *special("<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK_TOKEN>", "<BOS_TOKEN>", "<EOS_TOKEN>"),
        *special("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
        *special("<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
    ),
    eos="<|END_OF_TURN_TOKEN|>",
    stops=("<|END_OF_TURN_TOKEN|>",),
    opening="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    bos="<BOS_TOKEN>",
    pad="<PAD>",
    start=("<BOS_TOKEN>",),
    supports=_ALL - {"users in a row", "calls without tools"},
)

CALLS_LEFT_OPEN = replace(
    _DEEPSEEK_R1,
    name="DeepSeek R1, first version",
    template=template("deepseek_r1").replace(
        "{{- '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' }}",
        "{{- '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' if turn.tool_calls | length > 1 else '' }}",
    ),
)
"""As DeepSeek R1 was published: nothing ends a turn with a single call."""

CHATS = (
    _LLAMA_3_1,
    _QWEN_2_5,
    _QWEN_3,
    _MISTRAL,
    _GEMMA_2,
    _GEMMA_3,
    _PHI_3_5,
    _PHI_4,
    _PHI_4_MINI,
    _DEEPSEEK_R1,
    _GLM_4,
    _GPT_OSS,
    _COMMAND_R,
)
