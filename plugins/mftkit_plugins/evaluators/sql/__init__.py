"""The evaluator ``sql``: queries by their results."""
