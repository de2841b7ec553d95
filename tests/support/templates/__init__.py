"""Chat templates in the shape of well-known models', tiny tokenizers, conversations, and a reference for them."""
