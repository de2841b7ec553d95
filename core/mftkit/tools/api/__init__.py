"""The functions for scripts and notebooks: ``mftkit.run``, ``compare``, ``evaluate``, ``merge`` and ``report``."""
