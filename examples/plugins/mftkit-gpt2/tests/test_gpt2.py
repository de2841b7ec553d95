import pytest
import torch
from mft_gpt2.adapter import GPT2Adapter

from mftkit import LoadRequest, MftError, MicroBatch, Sample, collate

CONFIG = {
    "model_type": "gpt2",
    "vocab_size": 64,
    "n_positions": 16,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.fixture
def adapter():
    return GPT2Adapter(GPT2Adapter.Options())


@pytest.fixture
def model(adapter):
    torch.manual_seed(0)
    model, tokenizer = adapter.load(LoadRequest(None, CONFIG, torch.float32, "auto", init="random"))
    assert tokenizer is None
    return model.eval()


def batch_of(*lengths, isolated=True):
    samples = []
    for index, length in enumerate(lengths):
        tokens = (torch.arange(length) * 7 + 3 * index + 1).remainder(64).to(torch.int32).numpy()
        samples.append(Sample(index, 0, tokens, tokens >= 0))
    return collate(MicroBatch((tuple(samples),), max_length=sum(lengths), pad_id=0), isolated=isolated)


def logits(adapter, model, batch):
    return adapter.hidden_states(model, batch) @ adapter.head(model).weight.T


def test_it_matches_only_its_family(adapter):
    assert adapter.matches({"model_type": "gpt2"}) == 3
    assert adapter.matches({"model_type": "gptj"}) == 0


def test_hidden_states_and_head_give_the_models_own_logits(adapter, model):
    batch = batch_of(7)
    torch.testing.assert_close(logits(adapter, model, batch), model(batch.input_ids).logits)


def test_the_last_of_packed_samples_is_as_if_alone(adapter, model):
    packed = logits(adapter, model, batch_of(5, 6))
    second = batch_of(5, 6).input_ids[:, 5:]
    torch.testing.assert_close(packed[:, 5:], model(second).logits)


def test_targets_are_layers_of_the_model(adapter, model):
    ends = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    assert set(adapter.lora_targets(model)) <= ends


def test_more_tokens_than_positions_is_an_error(adapter, model):
    with pytest.raises(MftError, match="17 tokens, but this GPT-2 has only 16 positions"):
        adapter.outputs(model, batch_of(17))


def test_a_checkpoint_comes_back_as_it_was(adapter, model, tmp_path):
    model.save_pretrained(tmp_path)
    request = LoadRequest(str(tmp_path), CONFIG, torch.float32, "auto")
    loaded, tokenizer = adapter.load(request)
    assert tokenizer is None
    batch = batch_of(9)
    torch.testing.assert_close(loaded.eval()(batch.input_ids).logits, model(batch.input_ids).logits)
