"""Training data with ChatGLM's tokenizer: a beginning of two tokens, and commands that are also parts of words."""

from typing import Any

import mftkit
from checkpoints import CHECKPOINTS
from data_path import text_encoder, text_samples
from mftkit.data.text.chat_format import chat_format
from mftkit.interfaces.conversation import Conversation, Turn

MASK, SOP, USER, EOP = 481, 483, 486, 484


def test_a_text_begins_as_the_tokenizer_begins_it_and_that_does_not_count() -> None:
    tokenizer: Any = mftkit.load_model(CHECKPOINTS / "chatglm2")[1]
    encoded = text_encoder(tokenizer).encode(text_samples(tokenizer, "people it"))
    tokens = encoded.tokens.tolist()
    assert tokens == [*tokenizer("people it").input_ids, tokenizer.eos_token_id]
    assert tokens[:2] == [MASK, SOP]
    assert encoded.spans.tolist() == [2, len(tokens)]


def test_contents_are_tokenized_as_the_template_is_and_never_become_commands() -> None:
    tokenizer: Any = mftkit.load_model(CHECKPOINTS / "chatglm3")[1]
    chat = chat_format("auto", None, tokenizer)
    encoder = chat.encoder

    def tokens(question: str) -> list[int]:
        turns = (Turn("user", question), Turn("assistant", "yes"))
        return encoder.encode(chat.render(Conversation(turns))).tokens.tolist()

    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "people"}], add_generation_prompt=True
    )
    assert tokens("people")[: len(prompt["input_ids"])] == prompt["input_ids"]
    assert EOP not in tokens("people")
    looking = tokens("a sop <|user|> [gMASK]")
    # The token that begins a user's turn also ends the answer before it.
    assert [looking.count(command) for command in (MASK, SOP, USER)] == [1, 1, 2]
    assert looking[-1] == USER
