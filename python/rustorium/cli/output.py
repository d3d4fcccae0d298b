"""The output of commands: data on standard output as a table, JSON or JSON lines; notes and progress on standard error.

Invariants: what others wrote moves no cursor, since control characters are escaped; no colour and no progress bar off
a terminal or with NO_COLOR; JSON has all that the table has and more; times are Unix ms in JSON and UTC dates in a
table.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

import typer

from rustorium.plain import plain, plain_json, plain_lines


class Format(StrEnum):
    """Values of -o."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


Output = Annotated[Format, typer.Option("-o", "--output", help="Output format.")]


def emit(rows: Sequence[Mapping[str, object]], form: Format, columns: Sequence[str] | None = None) -> None:
    """Prints rows; `columns` selects and orders the table's columns."""
    if form is Format.json:
        print(plain_json(json.dumps(list(rows), indent=1, ensure_ascii=False)))
    elif form is Format.jsonl:
        for row in rows:
            print(plain_json(json.dumps(row, ensure_ascii=False)))
    elif rows:
        names = list(columns or rows[0])
        moments = {name for name in names if any(_is_moment(name, row.get(name)) for row in rows)}
        head = [_title(name, moment=name in moments) for name in names]
        cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
        if sys.stdout.isatty() and sum(_widths(head, cells)) + 2 * (len(head) - 1) > shutil.get_terminal_size().columns:
            _print_blocks(head, cells)
        else:
            _print_table(head, cells)


def emit_one(row: Mapping[str, object], form: Format) -> None:
    """Prints one row; as a table, one line per field."""
    if form is Format.table:
        if row:
            head = [_title(name, moment=_is_moment(name, value)) for name, value in row.items()]
            _print_blocks(head, [[_cell(name, value) for name, value in row.items()]])
    else:
        print(plain_json(json.dumps(row, indent=1 if form is Format.json else None, ensure_ascii=False)))


def note(message: str) -> None:
    """Prints a line for people, on standard error."""
    print(plain_lines(message), file=sys.stderr, flush=True)


def write_proof(path: Path, content: bytes) -> None:
    """Writes a new proof file and says how to check it. Errors: FileExists, UsageError."""
    from rustorium.access.files import write_new

    write_new(path, content)
    note(f"The proof is in {path}. `rustorium verify {path} --genesis FILE` checks it.")


def is_interactive() -> bool:
    """Returns whether standard error supports colour and changing lines."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


TONES = {"head": "bold", "bad": "bold yellow", "good": "green", "dim": "dim"}


def can_draw() -> bool:
    """Returns whether standard output is a terminal that can show block characters."""
    return sys.stdout.isatty() and "utf" in (sys.stdout.encoding or "").lower()


def show(lines: Iterable[tuple[str, str]]) -> None:
    """Prints lines, each with a tone (one of `TONES`, or empty), in colour if standard output supports it."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        for line, _ in lines:
            print(plain(line.rstrip()))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line, tone in lines:
        console.print(Text(plain(line.rstrip()), style=TONES.get(tone, "")))


def clear() -> None:
    """Clears a terminal; elsewhere prints an empty line."""
    print("\x1b[H\x1b[2J" if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else "", end="")


class Advance(Protocol):
    """Updates a progress bar."""

    def __call__(self, done: int, total: int) -> None: ...


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """Shows a progress bar with rate and remaining time on a terminal; elsewhere nothing."""
    if not is_interactive():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, rate="")

        def advance(done: int, total: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance


PROOF_DIGITS_SHOWN = 100


def _is_moment(name: str, value: object) -> bool:
    """Returns whether a field is a Unix time in ms, not a duration: values of more than 30 years are times."""
    return name.endswith("_ms") and isinstance(value, int) and 10**12 <= value < 10**14


def _title(name: str, *, moment: bool) -> str:
    if moment:
        name = "time" if name == "ts_ms" else name.removesuffix("_ms")
    return name.replace("_", " ")


def _cell(name: str, value: object) -> str:
    if name == "proof" and isinstance(value, str) and len(value) > PROOF_DIGITS_SHOWN:
        return f"{len(value) // 2} bytes: `tx status ID --proof-out FILE` writes it to a file that `verify` checks"
    if name == "failure" and isinstance(value, Mapping):
        return f"{plain(str(value.get('code')))} at operation {value.get('operation')}"
    if name == "signed_by" and isinstance(value, Mapping):
        from rustorium.types import Signers

        return plain(str(Signers(**value)))
    if not _is_moment(name, value):
        return plain(text(value))
    at = datetime.fromtimestamp(int(str(value)) / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(value: object) -> str:
    """Formats a table cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Returns the characters of each column."""
    return [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]


def _print_blocks(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints each row, one field a line."""
    width = max(len(title) for title in head)
    print("\n\n".join("\n".join(f"{t:<{width}}  {c}" for t, c in zip(head, row, strict=True)) for row in rows))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = _widths(head, rows)
    for line in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
