"""From rows to text with a loss mask: chat formats, templates, encoding."""
