"""The catch table as text: for the terminal, and as the page of the documentation that a whole run writes."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

HEAD = ["rule", "bug", "where", "caught by", "s"]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "seeded-bugs.md"


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows in columns, as Markdown."""
    rows = [HEAD, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def rows_of(text: str) -> list[list[str]]:
    """The rows that a page has."""
    lines = text.partition("\n|---")[2].splitlines()[1:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line]


def page(rows: Sequence[Sequence[str]]) -> str:
    """The page of the documentation. A place is a file there: its lines move on."""
    day = datetime.now(UTC).date().isoformat()
    per_rule = ", ".join(f"{rule} {number}" for rule, number in Counter(row[0] for row in rows).items())
    seconds = sum(float(row[4]) for row in rows)
    plain = [f"| {rule} | {bug} | `{where.partition(':')[0]}` | `{by}` | {s} |" for rule, bug, where, by, s in rows]
    return "\n".join(
        [
            "# Seeded bugs",
            "",
            "Which test finds each bug that is put into the code on purpose ([why](reliability.md#the-tests-tested)).",
            f"Last written on {day} by `just seeded-bugs --write`, which writes the rows of what it ran.",
            f"{len(rows)} bugs, all found; {seconds:.0f} s in all commands.",
            "",
            f"Bugs by rule of [the specification](spec/consensus.md) or by what is checked besides: {per_rule}.",
            "",
            "| " + " | ".join(HEAD) + " |",
            "|---" * len(HEAD) + "|",
            *plain,
            "",
        ]
    )
