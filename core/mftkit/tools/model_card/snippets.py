"""Code that loads a result and generates with it, for its model card. A test runs it."""

from __future__ import annotations

HERE = '"."'
"""The result's own directory, until it is pushed."""
_HEAD = "model_id = {place}  # this directory; elsewhere its path, or its id on the Hugging Face Hub\n"
_FULL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

{head}tokenizer = AutoTokenizer.from_pretrained(model_id)
model = AutoModelForCausalLM.from_pretrained(model_id, dtype="auto"{trust})
"""
_ADAPTER = """\
from peft import PeftConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

{head}tokenizer = AutoTokenizer.from_pretrained(model_id)
base_id = PeftConfig.from_pretrained(model_id).base_model_name_or_path
base = AutoModelForCausalLM.from_pretrained(base_id, dtype="auto"{trust})
model = PeftModel.from_pretrained(base, model_id)
"""
_CHAT = """
messages = [{"role": "user", "content": "Write a function that reverses a list."}]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
).to(model.device)
"""
_PLAIN = """
inputs = tokenizer("def reverse(items):", return_tensors="pt").to(model.device)
"""
_GENERATE = """\
outputs = model.generate(**inputs, max_new_tokens=256)
answer = outputs[0][inputs["input_ids"].shape[1] :]
print(tokenizer.decode(answer, skip_special_tokens=True))
"""


def loading_code(*, is_adapter: bool, chats: bool, trust_remote_code: bool) -> str:
    """Python that loads the result and generates a text.

    Args:
        is_adapter: an adapter is loaded onto its base by peft.
        chats: whether the tokenizer has a chat template.
        trust_remote_code: whether the model needs code from its repository.
    """
    load = _ADAPTER if is_adapter else _FULL
    trust = ", trust_remote_code=True" if trust_remote_code else ""
    loaded = load.format(head=_HEAD.format(place=HERE), trust=trust)
    return loaded + (_CHAT if chats else _PLAIN) + _GENERATE


def with_place(card: str, place: str) -> str:
    """A card whose code names another place than the directory itself."""
    return card.replace(_HEAD.format(place=HERE), f'model_id = "{place}"\n')
