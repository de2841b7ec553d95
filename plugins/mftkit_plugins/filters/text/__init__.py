"""How similar texts are: measures that hold when code is reformatted or its names are changed.

Two of the measures need packages of the extra "generate".
"""
