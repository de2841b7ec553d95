"""The interface of each kind of component; importing one imports neither torch nor transformers."""

API_VERSION = "1.0"
"""Version of the plugin interface: the first number changes when packages written for an earlier one may break."""
AUTO = "auto"
"""Stands for the name of a component that is chosen automatically."""
