"""``mft push``: a result to the Hugging Face Hub, as safetensors and with its model card."""
