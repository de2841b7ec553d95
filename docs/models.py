"""Writes the table of families into docs/models.md, from what the adapters say."""

from pathlib import Path

from mftkit.models.table import families_table

BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
PAGE = Path(__file__).with_suffix(".md")


def written(page: str) -> str:
    """The page with the table as the adapters give it now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + families_table("mftkit") + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
