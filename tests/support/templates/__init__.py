"""Chat templates in the shape of well-known models', tiny tokenizers for them, conversations, and what is right."""
