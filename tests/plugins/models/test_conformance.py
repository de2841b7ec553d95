from built_in import suites
from checkpoints import read

SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "pad_token_id": 0,
}  # fmt: skip
GLM = {
    "padded_vocab_size": 64, "hidden_size": 32, "ffn_hidden_size": 48, "num_layers": 2,
    "num_attention_heads": 4, "kv_channels": 8,
}  # fmt: skip
# Families of which transformers has no model type: random starts of their own configs, which are converted.
globals().update(
    suites(
        "model-adapter",
        chatglm={"config": read("chatglm3", "config.json") | GLM},
        baichuan={"config": read("baichuan2-13b", "config.json") | SMALL},
        aquila={"config": read("aquila2", "config.json") | SMALL},
    )
)
