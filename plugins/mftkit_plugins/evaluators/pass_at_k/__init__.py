"""The evaluator ``pass-at-k`` and the forms of problems that it reads."""
