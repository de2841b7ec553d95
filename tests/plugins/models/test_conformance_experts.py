"""Every family with experts passes the suite; LoRA adapts the experts where peft can."""

from model_families import family_suites

globals().update(family_suites("experts"))
