"""The interface of each kind of component; importing one imports neither torch nor transformers."""
