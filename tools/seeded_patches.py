"""The seeded bugs of the Rust code: what each changes, and what finds it; and a copy of the tree that has them all.

They stand in `tools/seeded/*.diff`, and the code that is built for users knows none of them:

    --- crates/quorum/src/guard.rs

    R27 | guard-without-a-floor | quorum it guard::forgotten_views
    @@ fn prune_below
    -self.floor = self.floor.max(view);
    +self.floor = if seeded::bug("guard-without-a-floor") { self.floor } else { self.floor.max(view) };

A path applies to the changes below it, which are separated by empty lines. A change has a line for each of its bugs: a
rule of docs/spec/consensus.md or what is checked besides, the name, and what finds it. That is a target of a crate
(`lib` or a program of its `tests`) and words of the names of tests, or a path for pytest; the tests don't know the
bug. A bug with several changes has its line in the first. Then come the function, the lines as they are, and the lines
with the switch `seeded::bug`, which the copy defines.

Invariants: the lines of a change occur exactly once in functions of that name, whatever their white space and trailing
commas, so that rustfmt may wrap them again; no two changes overlap: bugs on one line share a change.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "tools" / "seeded"
ROW = re.compile(r"(?P<rules>[^|]+) \| (?P<name>[a-z0-9-]+) \| (?P<test>[^|]+)")
SWITCH = re.compile(r'\bseeded::bug\("([a-z0-9-]+)"\)')
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\w+|\S')
FUNCTION = re.compile(
    r'^(?P<indent> *)(?:pub(?:\([^)]*\))? |const |async |unsafe |extern "C" )*fn (?P<name>\w+)', re.MULTILINE
)
MODULE = """\
//! Tells which seeded bug is switched on in this process.

pub(crate) fn bug(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("SEEDED_BUG").ok()).as_deref() == Some(name)
}
"""


class UnsoundTable(Exception):
    """A table that can't be read, or that speaks of code that isn't there: one sentence with the place."""


class Row(NamedTuple):
    """A bug, the rules that it breaks, and the tests that find it."""

    rules: str
    name: str
    test: str


@dataclass(frozen=True)
class Change:
    """Lines of a function, and the lines that replace them to make the bugs."""

    place: str
    path: str
    function: str
    before: str
    after: str

    @property
    def names(self) -> list[str]:
        """The bugs that it switches."""
        return SWITCH.findall(self.after)

    def span(self, text: str) -> tuple[int, int]:
        """Returns the position of the lines in their file's text."""
        within = list(_functions(text, self.function))
        if not within:
            raise UnsoundTable(f"{self.place}: {self.path} has no `fn {self.function}`: name the function as it is now")
        wanted = re.compile(_pattern(self.before))
        found = [match.span() for start, end in within for match in wanted.finditer(text, start, end)]
        if len(found) != 1:
            raise UnsoundTable(
                f"{self.place}: `{self.before.strip()}` occurs {len(found)} times in `fn {self.function}` of"
                f" {self.path}, and must occur once: write the lines as they are now, or a line more"
            )
        return found[0]


@dataclass(frozen=True)
class Table:
    """All changes, and a row for each bug."""

    changes: tuple[Change, ...]
    rows: tuple[Row, ...]

    def by_file(self) -> dict[str, list[Change]]:
        """The changes of each file."""
        ordered = sorted(self.changes, key=lambda change: change.path)
        return {path: list(changes) for path, changes in groupby(ordered, key=lambda change: change.path)}


def _functions(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Yields the places of functions with this name. A function ends with the next brace that is indented as little as
    its first line."""
    for match in FUNCTION.finditer(text):
        if match["name"] == name:
            end = text.find(f"\n{match['indent']}}}", match.end())
            yield match.start(), len(text) if end < 0 else end


def _pattern(lines: str) -> str:
    """An expression for the same tokens with any white space between them, and with or without trailing commas."""
    tokens = TOKEN.findall(lines)
    pattern = re.escape(tokens[0])
    for before, token in pairwise(tokens):
        if token in ")]}":
            pattern += r"\s*" if before == "," else r",?\s*"
        else:
            pattern += r"\s+" if before[-1:].isalnum() and token[:1].isalnum() else r"\s*"
        pattern += re.escape(token)
    first, last = (r"\b" if re.match(r"\w", token) else "" for token in (tokens[0], tokens[-1]))
    return f"{first}{pattern}{last}"


def read_table() -> Table:
    """The table, which has each bug once."""
    changes: list[Change] = []
    rows: list[Row] = []
    for path in sorted(TABLES.glob("*.diff")):
        for place, block in _blocks(path):
            if block[0].startswith("--- "):
                target = block[0].removeprefix("--- ")
                continue
            named = [row for line in block if (row := ROW.fullmatch(line))]
            rows += [Row(row["rules"], row["name"], row["test"]) for row in named]
            changes.append(_change(place, target, block[len(named) :]))
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UnsoundTable(f"tools/seeded has {', '.join(twice)} twice: a bug has one line, and a name of its own")
    switched = {name for change in changes for name in change.names}
    if unknown := sorted(switched ^ set(names)):
        raise UnsoundTable(f"tools/seeded has a line or a switch, but not both, for {', '.join(unknown)}")
    return Table(tuple(changes), tuple(rows))


def _blocks(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The lines between empty lines, without comments, and the place where they begin."""
    numbered = enumerate(path.read_text().splitlines(), 1)
    for filled, lines in groupby(numbered, key=lambda line: bool(line[1])):
        block = list(lines)
        if filled and not block[0][1].startswith("#"):
            yield f"{path.relative_to(ROOT)}:{block[0][0]}", [line for _, line in block]


def _change(place: str, path: str, lines: Sequence[str]) -> Change:
    before = "\n".join(line[1:] for line in lines[1:] if line[0] == "-")
    after = "\n".join(line[1:] for line in lines[1:] if line[0] == "+")
    sound = lines[0].startswith("@@ fn ") and "".join(line[0] for line in lines[1:]).strip("-").strip("+") == ""
    if not sound or not before.strip() or not SWITCH.search(after):
        raise UnsoundTable(f"{place}: not `@@ fn NAME`, then lines with `-`, then lines with `+` and a `seeded::bug`")
    return Change(place, path, lines[0].removeprefix("@@ fn "), before, after)


def with_bugs(text: str, changes: Sequence[Change]) -> str:
    """The text of a file with all its changes."""
    spans = sorted(((change.span(text), change) for change in changes), key=lambda found: found[0])
    for (first, _), (second, change) in pairwise(spans):
        if second[0] < first[1]:
            raise UnsoundTable(f"{change.place}: it overlaps another change of {change.path}: make one change of both")
    for (start, end), change in reversed(spans):
        text = text[:start] + change.after.replace("seeded::bug(", "crate::seeded::bug(") + text[end:]
    return text


def write_copy(folder: Path) -> None:
    """Makes the folder a copy of the tree with all bugs; writes only what differs, so that cargo compiles only that."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}
    changed = read_table().by_file()
    for path, changes in changed.items():
        files[path] = with_bugs(files[path].decode(), changes).encode()
    for crate in {"/".join(path.split("/")[:2]) for path in changed}:
        files[f"{crate}/src/lib.rs"] += b"\nmod seeded;\n"
        files[f"{crate}/src/seeded.rs"] = MODULE.encode()
    for old in sorted(folder.rglob("*"), reverse=True):  # what is in a folder comes before it
        if old.is_file() and str(old.relative_to(folder)) not in files:
            old.unlink()
        elif old.is_dir() and not any(old.iterdir()):
            old.rmdir()  # cargo takes a folder in `crates` for a crate
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
