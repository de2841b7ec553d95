"""How alike texts are: what of two programs stays the same when one is laid out or named anew.

Filters and ``mft data stats`` measure with these. Two of the measures need packages of the extra "generate".
"""
