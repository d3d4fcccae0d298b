"""Puts a benchmark's table into a page of the documentation."""

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def put(page: str, name: str, table: str) -> None:
    """Puts the table in place of what is between the two comments of that name, `<!-- name: begin -->` and
    `<!-- name: end -->`."""
    path = DOCS / page
    text = path.read_text()
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, after = text[: text.index(begin)], text[text.index(end) :]
    path.write_text(f"{before}{begin}\n{table}\n{after}")
