"""`top` on recorded nets, with keys pressed by the test: it shows what was recorded.

Invariants: no terminal, no node and no clock; the application refreshes when told to.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from cli_runner import Cli
from synthetic import SyntheticNet
from textual.pilot import Pilot
from textual.widgets import ContentSwitcher, DataTable, Static

from rustorium.errors import BadResponse
from rustorium.observe.exposition import parse
from rustorium.observe.scrape import Scrape
from rustorium.observe.top.app import HELP, Help, Top
from rustorium.observe.top.board import HISTORY_MAX, WINDOW, Board
from rustorium.observe.top.sources import Replay, Source

Steps = Callable[["RunningTop"], Awaitable[None]]
FRAME = {"ff5f57", "febc2e", "28c840", "292929", "c5c8c6"}
"""Colours of the window that Textual draws around a picture."""
BOTH = [(120, 30), (60, 15)]


class RunningTop:
    """A running application and what it shows."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app, self._pilot = app, pilot

    async def press(self, *keys: str) -> None:
        for key in keys or [None]:
            await self._pilot.press(*[key] if key else [])
            await self.app.workers.wait_for_complete()
            await self._pilot.pause()

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)
        await self._pilot.pause()

    @property
    def head(self) -> str:
        return str(self.app.query_one("#head", Static).content)

    @property
    def current(self) -> str:
        return str(self.app.query_one(ContentSwitcher).current)

    @property
    def columns(self) -> list[str]:
        return [str(column.label) for column in self._table.ordered_columns]

    @property
    def rows(self) -> list[list[str]]:
        return [[str(cell) for cell in self._table.get_row_at(row)] for row in range(self._table.row_count)]

    @property
    def _table(self) -> "DataTable[object]":
        return self.app.query_one(f"#{self.current}", DataTable)


def play(source: Source, steps: Steps, size: tuple[int, int] = (120, 30)) -> None:
    async def main() -> None:
        app = Top(source, "test", None)
        async with app.run_test(size=size) as pilot:
            looked = RunningTop(app, pilot)
            await looked.press()
            await steps(looked)

    anyio.run(main)


def recorded(folder: Path, net: SyntheticNet) -> Replay:
    return Replay(net.record(folder / "recording"))


def test_nodes_and_their_figures_are_those_of_the_recording(tmp_path: Path) -> None:
    async def steps(looked: RunningTop) -> None:
        assert "4/4 nodes  0 findings" in looked.head
        assert [row[looked.columns.index("tx/s")] for row in looked.rows] == ["-"] * 4, "one look tells no rate"
        await looked.press("r", "r")
        assert [row[0] for row in looked.rows] == ["node-0", "node-1", "node-2", "node-3"]
        assert [row[looked.columns.index("tx/s")] for row in looked.rows] == ["50"] * 4
        sync = looked.columns.index("sync")
        assert [row[sync] for row in looked.rows] == ["0.60", "0.60", "41.0", "0.60"]
        assert "height 150" in looked.head
        assert "50 tx/s  final p50 15.4" in looked.head

    play(recorded(tmp_path, SyntheticNet(sync_ms={2: 41.0})), steps)


def test_links_and_findings_have_tables_of_their_own(tmp_path: Path) -> None:
    net = SyntheticNet(rtt_ms={(0, 3): 180.0}, down={(1, 2)}, findings={3: "disk-low"})

    async def steps(looked: RunningTop) -> None:
        await looked.press("l")
        assert (looked.current, len(looked.rows)) == ("links", 12)
        assert {(row[0], row[1]) for row in looked.rows if row[3] == "180"} == {
            ("node-0", "node-3"),
            ("node-3", "node-0"),
        }
        assert {(row[0], row[1]) for row in looked.rows if row[2] == "DOWN"} == {
            ("node-1", "node-2"),
            ("node-2", "node-1"),
        }
        await looked.press("f")
        assert (looked.current, looked.rows) == (
            "findings",
            [["node-3", "disk-low", "free space on the disk, or lower storage.keep"]],
        )
        await looked.press("n")
        assert looked.current == "nodes"

    play(recorded(tmp_path, net), steps)


def test_shards_have_a_table_of_their_own(tmp_path: Path) -> None:
    second = SyntheticNet(n=4, named_shard="1", per_look=20, committee=(1, 2, 3))

    async def steps(looked: RunningTop) -> None:
        await looked.press("r", "r", "h")
        assert looked.current == "shards"
        shown = ["shard", "nodes", "height", "behind", "tx/s", "p50"]
        rows = [[row[looked.columns.index(name)] for name in shown] for row in looked.rows]
        assert rows == [["0", "4", "150", "0", "50", "15.4"], ["1", "3", "60", "0", "20", "15.4"]]
        assert "70 tx/s" in looked.head

    play(recorded(tmp_path, SyntheticNet(also=second)), steps)


def test_keys_sort_and_turn_round(tmp_path: Path) -> None:
    net = SyntheticNet(n=11, sync_ms={2: 41.0, 10: 3.0, 5: 0.1})

    async def steps(looked: RunningTop) -> None:
        await looked.press("r")
        assert [row[0] for row in looked.rows] == [f"node-{index}" for index in range(11)], "10 comes after 9"
        await looked.press("S")
        assert looked.rows[0][0] == "node-10"
        await looked.press(*"ssssss")
        assert "nodes by sync" in looked.head
        assert [looked.rows[place][0] for place in (0, -2, -1)] == ["node-5", "node-10", "node-2"]
        await looked.press("S", "r")
        assert "nodes by sync (reversed)" in looked.head
        assert looked.rows[0][0] == "node-2", "a new look keeps the order"

    play(recorded(tmp_path, net), steps)


def test_a_node_that_goes_silent_shows_nothing_old(tmp_path: Path) -> None:
    source = recorded(tmp_path, SyntheticNet())

    class Fails:
        looks = 0

        def look(self) -> list[Scrape] | None:
            self.looks += 1
            found = source.look()
            if found is not None and self.looks > 2:
                found[1] = Scrape("node-1", found[1].at_ms, 9, {}, "doesn't answer (refused)")
            return found

    async def steps(looked: RunningTop) -> None:
        await looked.press("r")
        assert looked.rows[1][:2] == ["node-1", "ready"]
        await looked.press("r")
        assert looked.rows[1][:4] == ["node-1", "silent", "-", "-"]
        assert "3/4 nodes  1 findings" in looked.head
        await looked.press("f")
        assert looked.rows == [["node-1", "silent", "doesn't answer (refused)"]]

    play(Fails(), steps)


def test_the_end_of_a_recording_and_a_failed_scrape_are_shown(tmp_path: Path) -> None:
    async def ends(looked: RunningTop) -> None:
        await looked.press("r", "r", "r")
        assert "end of recording" in looked.head
        assert len(looked.rows) == 4, "the last look stays"

    play(recorded(tmp_path, SyntheticNet(looks=2)), ends)

    class Broken:
        def look(self) -> list[Scrape] | None:
            raise BadResponse("line 3 is wrong")

    async def fails(looked: RunningTop) -> None:
        assert "can't read the metrics: line 3 is wrong" in looked.head
        await looked.press("s", "l")

    play(Broken(), fails)


def test_it_can_be_paused_and_tells_its_keys(tmp_path: Path) -> None:
    async def steps(looked: RunningTop) -> None:
        await looked.press("space")
        assert "paused" in looked.head
        looked.app._tick()
        await looked.press()
        assert "50 tx/s" not in looked.head, "nobody looked"
        await looked.press("space")
        looked.app._tick()
        await looked.press()
        assert "50 tx/s" in looked.head
        await looked.press("question_mark")
        assert isinstance(looked.app.screen, Help)
        assert str(looked.app.screen.query_one(Static).content) == HELP
        await looked.press("escape")
        assert not isinstance(looked.app.screen, Help)

    play(recorded(tmp_path, SyntheticNet()), steps)


@pytest.mark.parametrize("size", BOTH, ids=["wide", "narrow"])
def test_a_narrow_terminal_has_the_columns_that_matter(tmp_path: Path, size: tuple[int, int]) -> None:
    narrow = ["node", "state", "height", "tx/s", "p99", "links"]

    async def steps(looked: RunningTop) -> None:
        await looked.press("r")
        assert (looked.columns == narrow) == (size[0] < 90)
        assert set(narrow) <= set(looked.columns)
        assert sum(len(max(column, key=len)) + 2 for column in zip(*looked.rows, strict=True)) <= size[0]
        assert all(len(line) <= size[0] for line in looked.head.splitlines())
        head, table = looked.app.query_one("#head").region, looked.app.query_one("#nodes").region
        assert (head.y, head.height, table.y) == (0, 4, 4), "all of the head is to be seen"
        assert table.bottom == size[1] - 1, "and the keys below"
        other = next(one for one in BOTH if one != size)
        await looked.resize(*other)
        assert (looked.columns == narrow) == (other[0] < 90)
        assert len(looked.rows) == 4, "they are there again"

    play(recorded(tmp_path, SyntheticNet()), steps, size)


def test_no_colour_where_none_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown: list[str] = []

    async def steps(looked: RunningTop) -> None:
        await looked.press("r")
        shown.append(looked.app.export_screenshot())

    play(recorded(tmp_path, SyntheticNet(findings={1: "disk-low"}, down={(0, 1)})), steps)
    colours = set(re.findall(r"#([0-9a-f]{6})", shown[0])) - FRAME
    assert colours, "the picture has shades of grey"
    assert all(one[:2] == one[2:4] == one[4:] for one in colours), colours


def test_the_board_keeps_the_last_looks_alone(tmp_path: Path) -> None:
    source, board = recorded(tmp_path, SyntheticNet(looks=3 * WINDOW, n=1)), Board()
    while (look := source.look()) is not None:
        snapshot = board.take(look)
    assert len(board._kept["node-0"].looks) == WINDOW + 1
    assert snapshot.transactions_per_s == 50.0
    assert len(snapshot.rates) == 3 * WINDOW <= HISTORY_MAX


def test_a_restart_shows_no_rate_until_there_is_one(tmp_path: Path) -> None:
    source, board = recorded(tmp_path, SyntheticNet(looks=6, n=1, restarts={0: 3})), Board()
    rates = []
    while (look := source.look()) is not None:
        rates.append(board.take(look).nodes[0].transactions_per_s)
    assert rates == [None, 50.0, 50.0, None, 50.0, 50.0]


def test_without_a_terminal_the_alternatives_are_named(cli: Cli, tmp_path: Path) -> None:
    cli("top", "--node", "http://127.0.0.1:1").fails(2, "needs a terminal", "status check --watch")
    cli("top", tmp_path / "r", "--node", "http://127.0.0.1:1").fails(2, "can't be watched together")


def test_a_nodes_lag_is_measured_within_its_shard() -> None:
    def said(node: str, heights: dict[str, int]) -> Scrape:
        lines = [f"rustorium_consensus_height{labels} {height}" for labels, height in heights.items()]
        text = "\n".join(["# TYPE rustorium_consensus_height gauge", *lines, "# EOF", ""])
        return Scrape(node, 1, 1, parse(text.encode()))

    root, other, earlier = '{shard="0"}', '{shard="1"}', ""
    for first, second, behind in (
        ({root: 100, other: 7}, {root: 97, other: 9}, 3),
        ({root: 100}, {other: 7}, 0),
        ({root: 100}, {earlier: 90}, 10),
        ({root: 100, other: 50}, {root: 100, other: 7}, 43),
    ):
        shown = Board().take([said("a", first), said("b", second)])
        assert (shown.behind, shown.height) == (behind, max([*first.values(), *second.values()]))
