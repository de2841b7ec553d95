"""A model in this process: batches are what each prompt gives alone, and sampling can be repeated."""

from pathlib import Path
from typing import Any

import pytest
import torch

import mftkit
from mftkit.chat_client.client import ChatClient
from mftkit.chat_client.reply_cache import ReplyCache
from mftkit_plugins.chat_models.local import Local
from tiny_chat_model import tiny_chat_model

PROMPTS = ("Write a function.", "x", "def add(a, b): return a + b, and what is that for " * 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat_model(tmp_path_factory.mktemp("model"))


def local(path: Path, **options: Any) -> Local:
    model = Local(Local.Options(path=str(path), **{"reply_tokens": 12, "device": "cpu", **options}))
    model.start(lambda _line: None)
    return model


def asked(texts: Any = PROMPTS, **sampling: Any) -> list[mftkit.ChatRequest]:
    return [
        mftkit.ChatRequest(({"role": "user", "content": text},), None, sampling, seed)
        for seed, text in enumerate(texts)
    ]


def test_a_batch_is_what_transformers_gives_for_each_prompt_alone(path: Path) -> None:
    model = local(path, temperature=0)
    replies = model.replies(asked())
    for text, reply in zip(PROMPTS, replies, strict=True):
        ids: Any = model._tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        alone = model._model.generate(**ids, max_new_tokens=12, do_sample=False)
        new = alone[0, ids["input_ids"].shape[1] :].tolist()
        end = model._tokenizer.eos_token_id
        whole = new[: new.index(end)] if end in new else new
        assert reply.text == model._tokenizer.decode(whole, skip_special_tokens=True)
        assert reply.prompt_tokens == ids["input_ids"].shape[1]
        assert reply.completion_tokens == len(new)
        assert reply.finish_reason == ("stop" if end in new else "length")


def test_sampling_follows_the_requests_and_leaves_the_global_state_alone(path: Path) -> None:
    model = local(path, temperature=1.5)
    first = model.replies(asked())
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert model.replies(asked()) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    others = [mftkit.ChatRequest(r.messages, None, r.sampling, r.seed + 100) for r in asked()]
    assert model.replies(others) != first


def test_sampling_of_a_request_and_its_most_tokens(path: Path) -> None:
    model = local(path, temperature=1.5)
    greedy = local(path, temperature=0).replies(asked())
    mixed = model.replies([*asked(temperature=0), *asked(reply_tokens=3)])
    assert mixed[:3] == greedy
    assert all(reply.completion_tokens <= 3 for reply in mixed[3:])


def test_a_stop_cuts_the_reply(path: Path) -> None:
    model = local(path, temperature=0, reply_tokens=30)
    [whole] = model.replies(asked(["x"]))
    stop = whole.text[3:5]
    [cut] = model.replies(asked(["x"], stop=[stop]))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"


def test_a_prompt_that_fills_the_window_is_no_error(path: Path) -> None:
    model = local(path)
    long, short = model.replies(asked(["word " * 400, "x"]))
    assert long == mftkit.Reply("", 0, 0, "context")
    assert short.completion_tokens


def test_without_a_template_the_papers_markers_are_used(tmp_path: Path) -> None:
    model = local(tiny_chat_model(tmp_path, None))
    text = model._tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<s>human\nhi\n<s>bot\n"
    assert model.replies(asked(["hi"]))[0].prompt_tokens


def test_through_a_chat_batches_are_full_and_resume(path: Path, tmp_path: Path) -> None:
    def replies(count: int) -> list[mftkit.Reply]:
        model = Local(Local.Options(path=str(path), reply_tokens=6, batch=4, device="cpu"))
        with ChatClient(model, ReplyCache(tmp_path / "r", "x"), lambda _line: None, lambda: None) as chat:
            return list(chat.ask_all(asked([f"number {i}" for i in range(count)])))

    half, whole = replies(8), replies(10)
    assert [r.text for r in whole[:8]] == [r.text for r in half]
    assert [r.cached for r in whole] == [True] * 8 + [False] * 2


def test_a_path_that_holds_no_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(mftkit.MftError, match="none"):
        local(tmp_path / "none")
