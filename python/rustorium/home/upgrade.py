"""Converts a home to this release's format, and back to the previous one.

Invariants: SYNC; the home's node is stopped; safety journal, keys and store are not touched, so that going back never
restores an old journal or loses blocks; each step can be repeated, and after an interruption another run continues or
undoes it.
"""

import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from rustorium import __version__
from rustorium.access.private import make_folder
from rustorium.errors import HomeError, HomeMissing
from rustorium.home import format as files
from rustorium.home.format import FORMAT, FORMATS, HomeFormats, PendingUpgrade
from rustorium.home.lock import stopped
from rustorium.home.paths import Home

Audit = Callable[[Mapping[str, object]], None]
Advance = Callable[[int, int], None]


class Step(Protocol):
    """A step between two formats."""

    name: str
    """The file that the step changes."""
    does: str
    undoes: str

    def done(self, home: Home) -> bool:
        """Returns whether the step is completely done."""

    def do(self, home: Home) -> None:
        """Does the step, or the rest of it. Errors: HomeError."""

    def undo(self, home: Home) -> None:
        """Undoes the step, even if it is only partly done. Errors: HomeError."""


class ConfigSection:
    """Adds a section to `config.toml` that earlier releases don't know. They read the file strictly, so they refuse the
    home before they open anything."""

    name = "config.toml"
    does = "adds the section [home] with the format, so that older releases refuse the home; keeps a copy of the file"
    undoes = "takes the section [home] out, and leaves all else as it is"

    def done(self, home: Home) -> bool:
        return _format_in(_text(home)) == FORMAT

    def do(self, home: Home) -> None:
        text = _text(home)
        if self.done(home):
            return
        copy = _kept(home) / self.name
        make_folder(copy.parent)
        if not copy.exists():
            files.replace_file(copy, text.encode())
        changed = text + SECTION
        if _format_in(changed) != FORMAT:
            raise HomeError(
                f"{home.config} has a section [home] already: write `format = {FORMAT}` into it, then run this again",
                code="upgrade-refused",
            )
        files.replace_file(home.config, changed.encode())

    def undo(self, home: Home) -> None:
        text = _text(home)
        if "home" not in _tree(text):
            return
        without = text.replace(SECTION, "", 1) if SECTION in text else _without_section(text)
        if _tree(without) != {name: value for name, value in _tree(text).items() if name != "home"}:
            raise HomeError(
                f"the section [home] can't be taken out of {home.config} without changing more: take it out by hand, "
                "then run this again",
                code="upgrade-refused",
            )
        files.replace_file(home.config, without.encode())


class FormatFile:
    """Writes `format.json`. It is written last and removed first: with it the home is of the new format."""

    name = files.FILE
    does = "writes down the home's format, the release that wrote it and the chain"
    undoes = "is removed"

    def done(self, home: Home) -> bool:
        written = files.look(home.path).written
        return written is not None and written.format == FORMAT

    def do(self, home: Home) -> None:
        files.record(home.path, _chain(home))

    def undo(self, home: Home) -> None:
        files.remove_file(home.path / files.FILE)


SECTION = f"""
# Older releases don't know this section and refuse the home: `rustorium-node upgrade --back` takes it out again.
[home]
format = {FORMAT}
"""
STEPS: Mapping[int, tuple[Step, ...]] = {2: (ConfigSection(), FormatFile())}
"""Steps by the format to which they lead from the previous one, in order; the way back goes in reverse."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps to do, in this order."""

    start: int
    end: int
    steps: tuple[Step, ...]

    @property
    def back(self) -> bool:
        return self.end < self.start

    def rows(self, home: Home) -> list[dict[str, object]]:
        """A row for each step: `step`, `change`, `state`."""
        rows: list[dict[str, object]] = []
        for step in self.steps:
            done = step.done(home) != self.back
            rows.append({"step": step.name, "change": step.undoes if self.back else step.does,
                         "state": "done" if done else "to do"})  # fmt: skip
        return rows


def plan(home: Home, *, back: bool) -> Plan:
    """Returns the steps to do, without changing anything. Errors: HomeMissing, HomeError."""
    if not home.config.is_file():
        raise HomeMissing(f"{home.path} is not a node's home, because it has no config.toml: name another with --home")
    files.refuse_newer(home.path)
    found = files.look(home.path)
    if back:
        return _back(home, found)
    if found.format == FORMAT and not found.unfinished:
        # A rewritten configuration lacks what an upgrade added.
        return Plan(FORMAT, FORMAT, tuple(step for step in STEPS[FORMAT] if not step.done(home)))
    start = FORMAT - 1 if found.unfinished else found.format
    return Plan(start, FORMAT, tuple(step for number in range(start + 1, FORMAT + 1) for step in STEPS[number]))


def _back(home: Home, found: HomeFormats) -> Plan:
    target = FORMAT - 1
    if found.format <= target and not found.unfinished:
        return Plan(target, target, ())
    former = FORMATS[target]
    store, since = files.store_format(home.path)
    if since is not None and store > former.parts["store"]:
        raise HomeError(
            f"version 2 is active since height {since}: the store of {home.path} has format {store} by now, and "
            f"{former.release} reads {former.parts['store']}; there is no way back but a backup from before it",
            code="upgrade-refused",
        )
    for name, number in (found.written.parts if found.written is not None else {}).items():
        if number > former.parts.get(name, 0):
            raise HomeError(
                f"the {name} of {home.path} has format {number} by now, and {former.release} reads "
                f"{former.parts.get(name, 0)}: there is no way back but a backup from before",
                code="upgrade-refused",
            )
    return Plan(FORMAT, target, tuple(reversed(STEPS[FORMAT])))


def carry_out(home: Home, *, back: bool, audit: Audit, advance: Advance = lambda done, total: None) -> Plan:
    """Does the steps on a stopped home; returns the plan. Errors: HomeMissing, HomeError, `audit`'s."""
    plan(home, back=back)
    with stopped(home):
        todo = plan(home, back=back)
        pending = files.look(home.path).pending
        if not todo.steps and pending is None:
            return todo
        fields = {"from": todo.start, "to": todo.end, "release": __version__}
        # Written before the first change, which may be interrupted: a second line is better than a missing one.
        audit({**fields, "state": "begun"})
        make_folder(home.path / files.UPGRADE)
        files.replace_file(home.path / files.PENDING, msgspec.json.encode(PendingUpgrade(todo.start, todo.end)))
        for number, step in enumerate(todo.steps, start=1):
            if todo.back:
                step.undo(home)
            else:
                step.do(home)
            advance(number, len(todo.steps))
        files.remove_file(home.path / files.PENDING)
        if todo.back:
            _forget(_kept(home))
        audit({**fields, "state": "done"})
        return todo


def _kept(home: Home) -> Path:
    """Returns the folder with the files as they were before this format."""
    return home.path / files.UPGRADE / str(FORMAT)


def _forget(keep: Path) -> None:
    """Removes files that were kept for a way back, after that way back. Nobody needs them, so errors are ignored."""
    with suppress(OSError):
        for path in keep.iterdir():
            path.unlink()
        keep.rmdir()
        keep.parent.rmdir()


def _chain(home: Home) -> str | None:
    from rustorium import _native

    return _native.genesis_hash(home.genesis_bytes()) if home.genesis.is_file() else None


def _text(home: Home) -> str:
    try:
        return home.config.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise HomeError(f"{home.config} can't be read ({error}): check its owner and mode") from None


def _tree(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {"": text}


def _format_in(text: str) -> object:
    section = _tree(text).get("home")
    return section.get("format") if isinstance(section, dict) else None


def _without_section(text: str) -> str:
    """Returns the text without its section [home] and the comments right above it."""
    lines = text.splitlines(keepends=True)
    first = next((at for at, line in enumerate(lines) if line.strip() == "[home]"), None)
    if first is None:
        return text
    after = next((at for at in range(first + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    while first and lines[first - 1].startswith("# Older releases"):
        first -= 1
    return "".join(lines[:first] + lines[after:])
