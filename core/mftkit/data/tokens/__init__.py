"""From text to token tables: the token cache, and tokenizers trained on the tasks' text."""
