"""The evaluator ``tests-pass``: programs by their tests, and tests by their programs."""
