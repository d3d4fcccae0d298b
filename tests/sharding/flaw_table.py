"""The table of flaws in docs/spec/shards.md, with figures of the explorer.

Invariants: the page has exactly this table; `test_taken_out.py` compares it line by line. Run as a program with
`--write` (`just model-flaws`) this explores each flaw and writes it.
"""

import sys
from pathlib import Path
from typing import Any

from mends import TakenOut, without
from taken_out import TABLE

from rustorium.sharding.explore import Report, explore

PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec" / "shards.md"
FOUND_HEAD = (
    "| flaw | the rule that is switched off | without it | breaks | states | steps |\n|---|---|---|---|--:|--:|\n"
)


def play(row: TakenOut) -> Report:
    """Explores a flaw's scenario with its rules switched off."""
    with without(row.mends):
        return explore(row.scenario())


def line(row: TakenOut, report: Report) -> str:
    """Returns a flaw's line of the page: its figures are those of the first state that breaks an invariant."""
    mend = row.mends[0]
    others = "".join(f"; also without {other.rule}" for other in row.mends[1:])
    cells = [
        row.finding,
        f"{mend.rule}: {mend.says}{others}",
        row.without,
        str(report.fault),
        f"{report.states:,}",
        str(len(report.trace)),
    ]
    return f"| {' | '.join(cells)} |"


def lines_below(text: str, head: str) -> list[str]:
    """Returns the lines of the table with this head."""
    return text.partition(head)[2].partition("\n\n")[0].splitlines()


def _below(after: str) -> str:
    """Returns the text below a table, of which `after` begins with the first line."""
    lines = after.splitlines(keepends=True)
    while lines and lines[0].startswith("|"):
        del lines[0]
    return "".join(lines)


def _with_table(text: str, head: str, lines: list[Any]) -> str:
    before, found, after = text.partition(head)
    assert found, f"the page has no table with the head {head}"
    return before + head + "\n".join(lines) + "\n" + _below(after)


def main(arguments: list[str]) -> int:
    """Explores all flaws and prints their table; `--write` puts it into the page."""
    lines = [line(row, play(row)) for row in TABLE]
    print("\n".join(lines))
    if "--write" in arguments:
        PAGE.write_text(_with_table(PAGE.read_text(), FOUND_HEAD, lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
