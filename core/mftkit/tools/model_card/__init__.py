"""``README.md`` of a result: a model card for people and for the Hugging Face Hub."""
