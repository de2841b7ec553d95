"""Write the table of families into docs/models.md, from the adapters' own declarations."""

from pathlib import Path

from mftkit.models.families_table import families_table

BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
PAGE = Path(__file__).with_suffix(".md")


def written(page: str) -> str:
    """Return the page with the current table."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + families_table("mftkit") + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
