"""The terminal application: a head, one table at a time, and keys.

Invariants: keys control everything. Slow work runs in other threads. A look that fails is shown, and the next one is
made.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, DataTable, Footer, Static

from rustorium.errors import RustoriumError
from rustorium.observe.analysis.text import ms, spark
from rustorium.observe.top.board import Board, Snapshot
from rustorium.observe.top.sources import Source

NARROW = 90
"""Width in columns below which the least important columns of a table are left out."""

HELP = """\
n  nodes        h  shards       l  links        f  findings
s  sort by the next column      S  reverse the order
space  pause or continue        r  refresh now
arrows, page up and down        move in the table
?  this page                    q  quit

Rates and latencies cover the last samples, at most ten. Each end of a link has its own row.
tx/s: transactions executed per second. p50, p99: time until a client's transaction is final, ms.
sync: mean time of a sync of the journal, ms. pool: transactions that wait.
links: number of links that are up, of all links. cores: processor cores in use.
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, its text for a line, and its sort key."""

    title: str
    shown: Callable[[Any], str]
    key: Callable[[Any], Any]
    wide: bool = False
    """`True`: left out in a narrow terminal."""


def _column(title: str, name: str, form: Callable[[Any], str] = str, *, wide: bool = False) -> Column:
    def shown(line: Any) -> str:
        value = getattr(line, name)
        return "-" if value is None else form(value)

    def key(line: Any) -> Any:
        value = getattr(line, name)
        if isinstance(value, str):
            # node-2 before node-10.
            value = [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", value)]
        # Unknown values come last.
        return (value is None, 0 if value is None else value)

    return Column(title, shown, key, wide)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


TABLES: dict[str, tuple[Column, ...]] = {
    "nodes": (
        _column("node", "node"),
        _column("state", "state"),
        _column("height", "height", _whole),
        _column("tx/s", "transactions_per_s", _whole),
        _column("p50", "final_p50_ms", ms, wide=True),
        _column("p99", "final_p99_ms", ms),
        _column("sync", "sync_ms", ms, wide=True),
        _column("pool", "pool", _whole, wide=True),
        _column("links", "links"),
        _column("cores", "cpu_cores", lambda value: f"{value:.2f}", wide=True),
        _column("MiB", "memory_mib", _whole, wide=True),
        _column("view", "view", _whole, wide=True),
        _column("findings", "findings", wide=True),
    ),
    "shards": (
        _column("shard", "shard"),
        _column("nodes", "nodes"),
        _column("height", "height", _whole),
        _column("behind", "behind", _whole),
        _column("tx/s", "transactions_per_s", _whole),
        _column("p50", "final_p50_ms", ms),
        _column("p99", "final_p99_ms", ms),
        _column("pool", "pool", _whole, wide=True),
        _column("missing", "missing", wide=True),
    ),
    "links": (
        _column("node", "node"),
        _column("peer", "peer"),
        _column("up", "up", lambda up: "up" if up else "DOWN"),
        _column("rtt ms", "rtt_ms", ms),
        _column("lost %", "lost_percent", lambda value: f"{value:.2f}"),
        _column("queued KiB", "queued_kib", _whole, wide=True),
        _column("sent KiB/s", "sent_kib_per_s", _whole, wide=True),
    ),
    "findings": (
        _column("node", "node"),
        _column("code", "code"),
        _column("what to do", "advice"),
    ),
}


class Help(ModalScreen[None]):
    """The list of keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "back")]
    DEFAULT_CSS = (
        "Help { align: center middle; } Help > Static { width: auto; max-width: 100%; border: solid $accent; }"
    )

    def compose(self) -> ComposeResult:
        yield Static(HELP, markup=False)


class Top(App[None]):
    """Shows a source's looks, one each `every_s`; if that is `None`, only on the key `r`."""

    ENABLE_COMMAND_PALETTE = False
    CSS = (
        "Screen { overflow: hidden; } #head { height: 4; } ContentSwitcher { height: 1fr; } DataTable { height: 1fr; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "table('nodes')", "nodes"),
        Binding("h", "table('shards')", "shards"),
        Binding("l", "table('links')", "links"),
        Binding("f", "table('findings')", "findings"),
        Binding("s", "sort", "sort"),
        Binding("S", "reverse", "reverse"),
        Binding("space", "pause", "pause"),
        Binding("r", "look", "refresh now", show=False),
        Binding("question_mark", "help", "help"),
        Binding("q,ctrl+c", "quit", "quit"),
    ]

    def __init__(self, source: Source, title: str, every_s: float | None) -> None:
        super().__init__()
        self._source, self._said, self._every_s = source, title, every_s
        self._board, self._snapshot = Board(), None
        self._sorted: dict[str, tuple[int, bool]] = dict.fromkeys(TABLES, (0, False))
        self._looking, self._paused, self._over, self._error = False, False, False, ""
        self._narrow: bool | None = None
        self._width = 80

    _snapshot: Snapshot | None

    def compose(self) -> ComposeResult:
        yield Static("", id="head", markup=False)
        with ContentSwitcher(initial="nodes"):
            for name in TABLES:
                yield DataTable[Text](id=name, cursor_type="row", zebra_stripes=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._columns(self.size.width)
        self.action_look()
        if self._every_s is not None:
            self.set_interval(self._every_s, self._tick)

    def on_resize(self, event: Resize) -> None:
        if self.is_running:
            self._columns(event.size.width)

    def _tick(self) -> None:
        if not self._paused and not self._over:
            self.action_look()

    def action_look(self) -> None:
        """Starts a look, unless one is under way."""
        if not self._looking:
            self._looking = True
            self._look()

    @work(thread=True)
    def _look(self) -> None:
        """Makes a look in another thread."""
        try:
            scrapes = self._source.look()
        except RustoriumError as error:
            self.call_from_thread(self._failed, error.message)
            return
        if scrapes is None:
            self.call_from_thread(self._ended)
        else:
            self.call_from_thread(self._took, self._board.take(scrapes))

    def _took(self, snapshot: Snapshot) -> None:
        self._snapshot, self._error = snapshot, ""
        self._looked()

    def _failed(self, why: str) -> None:
        self._error = why
        self._looked()

    def _ended(self) -> None:
        self._over = True
        self._looked()

    def _looked(self) -> None:
        self._looking = False
        self._show()

    def action_table(self, name: str) -> None:
        self.query_one(ContentSwitcher).current = name
        self._table(name).focus()

    def action_sort(self) -> None:
        """Sorts by the next visible column."""
        name = self._current()
        place, _ = self._sorted[name]
        self._sorted[name] = ((place + 1) % len(self._shown(name)), False)
        self._show()

    def action_reverse(self) -> None:
        name = self._current()
        place, reverse = self._sorted[name]
        self._sorted[name] = (place, not reverse)
        self._show()

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._show()

    def action_help(self) -> None:
        self.push_screen(Help())

    def _current(self) -> str:
        return self.query_one(ContentSwitcher).current or "nodes"

    def _table(self, name: str) -> "DataTable[Text]":
        return self.query_one(f"#{name}", DataTable)

    def _shown(self, name: str) -> list[Column]:
        return [column for column in TABLES[name] if not (self._narrow and column.wide)]

    def _columns(self, width: int) -> None:
        """Sets the columns that fit."""
        narrow, self._width = width < NARROW, width
        if narrow == self._narrow:
            return
        self._narrow = narrow
        for name in TABLES:
            table = self._table(name)
            table.clear(columns=True)
            self._sorted[name] = (0, False)
            for column in self._shown(name):
                table.add_column(column.title, key=column.title)
        self._show()

    def _show(self) -> None:
        self.query_one("#head", Static).update("\n".join(self.head()))
        if self._snapshot is not None:
            for name, lines in (
                ("nodes", self._snapshot.nodes),
                ("shards", self._snapshot.shards),
                ("links", self._snapshot.links),
                ("findings", self._snapshot.findings),
            ):
                self._fill(name, lines)

    def _fill(self, name: str, lines: Sequence[Any]) -> None:
        table, columns = self._table(name), self._shown(name)
        place, reverse = self._sorted[name]
        row = table.cursor_row
        table.clear()
        for line in sorted(lines, key=columns[place].key, reverse=reverse):
            table.add_row(*(Text(column.shown(line), style=_style(line)) for column in columns))
        table.move_cursor(row=min(row, max(0, len(lines) - 1)))

    def head(self) -> list[str]:
        """Returns the lines above the table."""
        width = max(20, self._width - 2)
        if self._error:
            return [self._said, f"can't read the metrics: {self._error}"]
        if self._snapshot is None:
            return [self._said, "reading the metrics for the first time"]
        now, name = self._snapshot, self._current()
        answering = sum(line.state != "silent" for line in now.nodes)
        place, reverse = self._sorted[name]
        state = "end of recording" if self._over else "paused" if self._paused else ""
        order = f"{name} by {self._shown(name)[place].title}{' (reversed)' if reverse else ''}"
        rate = "-" if now.transactions_per_s is None else _whole(now.transactions_per_s)
        height = "-" if now.height is None else f"{now.height:,}"
        behind = f" (the slowest node is {now.behind:,} behind)" if now.behind else ""
        return [
            " | ".join(part for part in (self._said, order, state) if part),
            f"{answering}/{len(now.nodes)} nodes  {len(now.findings)} findings  height {height}{behind}",
            f"{rate} tx/s  final p50 {ms(now.final_p50_ms)}  p99 {ms(now.final_p99_ms)} ms",
            spark(now.rates[-width:], width, plain=_plain()),
        ]


def _plain() -> bool:
    """Checks whether the terminal's locale lacks block characters."""
    language = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return "utf" not in language.lower()


def _style(line: Any) -> str:
    bad = getattr(line, "state", "ready") != "ready" or getattr(line, "up", True) is False
    return "bold red" if bad else "yellow" if getattr(line, "findings", 0) or hasattr(line, "advice") else ""
