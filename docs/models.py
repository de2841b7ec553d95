"""Write the tables of families into docs/models.md: from the adapters' own declarations, and by trying tiny models.

The second one takes a few minutes: ``python docs/models.py --isolation``.
"""

import sys
from pathlib import Path

from mftkit.models.families_table import families_table
from mftkit.testing.isolation import isolation_table

BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
ISOLATION, ISOLATION_END = "<!-- isolation -->\n", "<!-- end of isolation -->\n"
PAGE = Path(__file__).with_suffix(".md")


def written(page: str) -> str:
    """Return the page with the current table of families."""
    return _between(page, BEGIN, END, families_table("mftkit"))


def with_isolation(page: str) -> str:
    """Return the page with the current table of isolation."""
    return _between(page, ISOLATION, ISOLATION_END, isolation_table())


def _between(page: str, begin: str, end: str, table: str) -> str:
    before, _, rest = page.partition(begin)
    return before + begin + table + end + rest.partition(end)[2]


if __name__ == "__main__":
    text = written(PAGE.read_text("utf-8"))
    PAGE.write_text(with_isolation(text) if "--isolation" in sys.argv[1:] else text, "utf-8")
