"""Every family that is converted on load passes the suite."""

from model_families import family_suites

globals().update(family_suites("converted"))
