"""Logs of many nodes as one stream: order, filters, torn and foreign lines, following; and the command.

Invariants: following waits for the test, not for time.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.errors import UsageError
from rustorium.observe.nodelogs import merge
from rustorium.observe.nodelogs.find import find_logs
from rustorium.observe.nodelogs.lines import LINE_BYTES_MAX, LogFile, entry_of
from rustorium.observe.nodelogs.merge import HOLD_MS, Follow, MergedLine, Merger, log_files
from rustorium.observe.nodelogs.select import LineFilter, as_json, as_text, heights_of, moment, transaction_of

START = 1_800_000_000_000
ID = "ab" * 32


def line(ts: int, event: str = "something", level: str = "info", **fields: object) -> str:
    return json.dumps({"ts": START + ts, "level": level, "target": "t", "event": event, "node": "n", **fields}) + "\n"


def block(height: int, **fields: object) -> dict[str, object]:
    return {"height": height, "view": height, "epoch": 0, **fields}


def merged(*paths: Path) -> tuple[list[MergedLine], Merger]:
    merger = Merger(log_files([(path.stem, path) for path in paths], follow=False))
    merger.look_ahead()
    lines = list(merger.merge())
    for source in merger.sources:
        source.close()
    return lines, merger


def skewed(folder: Path, seed: int, n: int = 4) -> tuple[list[Path], list[tuple[int, int]]]:
    """Returns logs of nodes whose clocks differ by up to a minute, and the true order of the lines about blocks:
    (height, node)."""
    seeded = random.Random(seed)
    offsets = [seeded.randint(-60_000, 60_000) for _ in range(n)]
    lines: list[list[str]] = [[] for _ in range(n)]
    order = []
    for height in range(1, 60):
        at, leader = height * 5_000, height % n
        lines[leader].append(line(at + offsets[leader], "proposed", **block(height)))
        arrivals = sorted((at + 2 + seeded.randint(3, 60) * (node != leader), node) for node in range(n))
        for arrived, node in arrivals:
            lines[node].append(line(arrived + offsets[node], "final", **block(height)))
        order.append((height, leader))
    paths = [folder / f"node-{node}.jsonl" for node in range(n)]
    for path, content in zip(paths, lines, strict=True):
        path.write_text("".join(content))
    return paths, order


@pytest.mark.parametrize("seed", range(10))
def test_logs_with_clocks_a_minute_apart_are_merged_in_the_true_order(tmp_path: Path, seed: int) -> None:
    paths, order = skewed(tmp_path, seed)
    lines, _ = merged(*paths)
    assert len(lines) == 59 * 5
    heights = [one.entry.fields["height"] for one in lines]
    assert heights == sorted(heights), "all lines of a block come before those of the next"
    assert [(h, one.node) for h, one in zip(heights, lines, strict=True) if one.entry.event == "proposed"] == [
        (height, f"node-{leader}") for height, leader in order
    ]
    assert [one.entry.event for one in lines[::5]] == ["proposed"] * 59
    at = [one.at_ms for one in lines]
    assert at == sorted(at)


def test_a_nodes_own_lines_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line(5, "first") + line(3, "second") + line(3, "third") + line(-90_000, "after a set clock"))
    lines, _ = merged(path)
    assert [one.entry.event for one in lines] == ["first", "second", "third", "after a set clock"]
    assert [one.at_ms - START for one in lines] == [5, 5, 5, -90_000]


NOT_LINES = [
    b"\x00\xff garbage\n", b"{}\n", b"[1]\n", b"12\n", b'{"ts":1,"level":"info"}\n',
    b'{"ts":"1","level":"info","event":"e"}\n',
    b'{"ts":true,"level":"info","event":"e"}\n', b'{"ts":-1,"level":"info","event":"e"}\n',
    b'{"ts":1e99,"level":"info","event":"e"}\n',
    b'{"ts":1,"level":"loud","event":"e"}\n', b'{"ts":1,"level":["info"],"event":"e"}\n', b"[" * 50_000 + b"\n",
    b'{"ts":1,"level":"info","event":7}\n', b'{"ts":1,"level":"info","event":"' + b"x" * LINE_BYTES_MAX + b'"}\n',
    b"y" * (5 * LINE_BYTES_MAX) + b"\n",
]  # fmt: skip


def test_invalid_lines_are_counted_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = line(1).encode()
    path.write_bytes(b"".join(bad + good for bad in NOT_LINES) + b"\n\n" + good[:-20])
    lines, merger = merged(path)
    assert len(lines) == len(NOT_LINES)
    assert merger.sources[0].garbage == len(NOT_LINES) + 1, "the torn one at the end too"


def test_any_cut_of_a_log_loses_at_most_the_line_that_is_cut(tmp_path: Path) -> None:
    path, good = tmp_path / "a.jsonl", line(1).encode()
    for length in range(3 * len(good) + 1):
        path.write_bytes((3 * good)[:length])
        lines, merger = merged(path)
        whole, rest = divmod(length, len(good))
        complete = rest == len(good) - 1  # the line is complete except for its line end
        assert len(lines) == whole + complete
        assert merger.sources[0].garbage == (rest > 0 and not complete)


class Steps:
    """The files that a follower sees: after each round one step is taken, and at the end it stops."""

    def __init__(self, *steps: object) -> None:
        self._steps = list(steps)
        self.at_ms = START + 10_000_000

    def follow(self) -> Follow:
        return Follow(lambda: self.at_ms, self.wait)

    def wait(self, _seconds: float) -> bool:
        if not self._steps:
            return False
        step = self._steps.pop(0)
        if callable(step):
            step()
        return True


def append(path: Path, *lines: str) -> None:
    with open(path, "a") as file:
        file.write("".join(lines))


def followed(steps: Steps, *paths: Path) -> Iterator[str]:
    merger = Merger(log_files([(path.stem, path) for path in paths], follow=True))
    for one in merger.follow(steps.follow()):
        yield f"{one.node} {one.entry.event}"
    for source in merger.sources:
        source.close()


def test_a_follower_sees_lines_as_they_come_also_torn_and_rotated_ones(tmp_path: Path) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    a.write_text(line(1, "one"))
    b.write_text("")
    torn = line(3, "three")

    def rotate() -> None:
        os.replace(a, tmp_path / "a.jsonl.1")
        a.write_text(line(5, "in the new file"))

    steps = Steps(
        lambda: append(b, line(2, "two"), torn[:10]),
        lambda: append(b, torn[10:]),
        rotate,
        lambda: b.write_text(line(6, "cut down")),
    )
    assert list(followed(steps, a, b)) == ["a one", "b two", "b three", "a in the new file", "b cut down"]


def test_a_line_that_is_followed_waits_for_those_before_it(tmp_path: Path) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    a.write_text("")
    b.write_text("")
    steps = Steps()
    now = steps.at_ms - START
    seen: list[str] = []

    def later() -> None:
        assert seen == [], "it isn't ripe"
        append(b, line(now - 20, "before"))

    def ripe() -> None:
        assert seen == []
        steps.at_ms += HOLD_MS

    steps._steps = [lambda: append(a, line(now, "after")), later, ripe]
    for text in followed(steps, a, b):
        seen.append(text)
    assert seen == ["b before", "a after"]


def test_memory_while_following_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "HELD_MAX", 5)
    a = tmp_path / "a.jsonl"
    steps = Steps()
    a.write_text("".join(line(steps.at_ms - START + i, f"e{i}") for i in range(20)))
    merger = Merger(log_files([("a", a)], follow=True))
    count = 0
    for _ in merger.follow(steps.follow()):
        count += 1
        assert len(merger._heap) <= 5
    assert count >= 5
    merger.sources[0].close()


def test_each_filter_takes_its_lines_only() -> None:
    def one(node: str = "a", at: int = 50, **fields: object) -> MergedLine:
        entry = entry_of(line(at, **fields).encode())  # type: ignore[arg-type]
        assert entry is not None
        return MergedLine(entry.ts, node, entry)

    assert LineFilter().takes(one())
    assert LineFilter(since_ms=START + 50, until_ms=START + 50).takes(one())
    assert not LineFilter(since_ms=START + 51).takes(one())
    assert not LineFilter(until_ms=START + 49).takes(one())
    assert LineFilter(nodes=frozenset("ab")).takes(one("b"))
    assert not LineFilter(nodes=frozenset("ab")).takes(one("c"))
    assert LineFilter(level=30).takes(one(level="error"))
    assert not LineFilter(level=30).takes(one(level="info"))
    assert LineFilter(event="final").takes(one(event="final"))
    assert not LineFilter(event="final").takes(one(event="finally"))
    assert LineFilter(transaction=ID.encode()).takes(one(transaction=ID))
    assert not LineFilter(transaction=ID.encode()).takes(one(transaction="cd" * 32))
    assert LineFilter(heights=(5, 7)).takes(one(height=7))
    assert not any(LineFilter(heights=(5, 7)).takes(one(height=height)) for height in (4, 8, "6", True, None))


def test_times_heights_and_ids_are_read_or_refused() -> None:
    assert moment("1800000000123", "--since", 0) == START + 123
    assert moment("2027-01-15T08:00:00Z", "--since", 0) == START
    assert moment("2027-01-15T09:00:00+01:00", "--since", 0) == START
    assert moment("2027-01-15T08:00:00", "--since", 0) == START, "without a zone it is UTC"
    assert moment("10m", "--since", START) == START - 600_000
    for bad in ("", "yesterday", "-10m", "10m10m", "9" * 16, "2027-13-01", "\u0663m", "1.2.3s"):
        with pytest.raises(UsageError, match="--since"):
            moment(bad, "--since", 0)
    assert (heights_of("7"), heights_of("7..9")) == ((7, 7), (7, 9))
    for bad in ("", "..", "7..", "..9", "9..7", "-1", "a", "1" * 21, "7...9", str(2**64)):
        with pytest.raises(UsageError, match="--height"):
            heights_of(bad)
    assert transaction_of(ID.upper()) == ID.encode()
    for bad in ("", ID[:-1], ID + "a", "g" * 64, "\u0663" * 64):
        with pytest.raises(UsageError, match="--transaction"):
            transaction_of(bad)


def test_a_node_cannot_move_the_readers_cursor() -> None:
    entry = entry_of(line(1, "e\x1b[2J\nx", reason="two words", code="plain", other="\x9b31m\u202e").encode())
    assert entry is not None
    text = as_text(MergedLine(entry.ts, "a", entry))
    assert text.isprintable()
    assert 'reason="two words" code=plain' in text
    assert text.startswith("2027-01-15T08:00:00.001Z a          info  e\\u001b[2J\\nx")
    assert json.loads(as_json(MergedLine(7, "a", entry)))["at_ms"] == 7


def test_logs_are_found_by_home_by_file_and_by_net(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "log").mkdir(parents=True)
    (home / "config.toml").write_text('[node]\nname = "frankfurt"\n')
    assert find_logs(None, [home], None) == [("frankfurt", home / "log" / "node.jsonl")]
    assert find_logs(None, [home / "log" / "node.jsonl", tmp_path / "x.jsonl"], None) == [
        ("home", home / "log" / "node.jsonl"),
        ("x", tmp_path / "x.jsonl"),
    ]
    twice = [tmp_path / "a" / "n.jsonl", tmp_path / "b" / "n.jsonl"]
    assert [name for name, _ in find_logs(None, twice, None)] == [str(path) for path in twice]
    (home / "config.toml").write_text('[log]\nfile = ""\n')
    with pytest.raises(UsageError, match="logs to standard error"):
        find_logs(None, [home], None)


def test_the_command_merges_filters_and_exports(cli: Cli, tmp_path: Path) -> None:
    paths, _ = skewed(tmp_path, 3)
    append(paths[2], "torn", "\n")
    ended = cli("logs", "aggregate", *paths, "-o", "jsonl", "--height", "10..11", "--event", "final")
    assert ended.code == 0, ended.err
    lines = [json.loads(one) for one in ended.out.splitlines()]
    assert [one["height"] for one in lines] == [10] * 4 + [11] * 4
    assert {one["node"] for one in lines[:4]} == {f"node-{i}" for i in range(4)}
    assert "1 lines of" in ended.err
    assert ended.err.count("its clock was corrected by") == 3, "all but the one in the middle"
    out = tmp_path / "all.jsonl"
    assert cli("logs", "aggregate", *paths, "--out", out).code == 0
    assert len(out.read_text().splitlines()) == 59 * 5
    cli("logs", "aggregate", *paths, "--out", out).fails(2, "never overwritten")
    text = cli("logs", "aggregate", *paths, "--node", "node-1", "--height", 10).out
    assert "node-1     info  final height=10" in text


def test_no_matching_line_is_exit_code_3_and_bad_input_one_sentence(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line(1))
    ended = cli("logs", "aggregate", path, "--event", "other")
    assert (ended.code, ended.out, ended.err) == (3, "", "")
    cli("logs", "aggregate").fails(2, "no logs are named")
    cli("logs", "aggregate", tmp_path / "none").fails(2, "can't be read")
    cli("logs", "aggregate", tmp_path).fails(2, "can't be read")
    cli("logs", "aggregate", path, path).fails(2, "named twice")
    cli("logs", "aggregate", path, "--node", "b").fails(2, "there is no node 'b' among a")
    cli("logs", "aggregate", path, "--level", "loud").fails(2, "--level 'loud'")
    cli("logs", "aggregate", path, "--since", "soon").fails(2, "--since 'soon'")
    cli("logs", "aggregate", path, "--height", "x").fails(2, "--height 'x'")
    cli("logs", "aggregate", path, "--transaction", "x").fails(2, "--transaction 'x'")


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(line(i) for i in range(5_000)))
    merger = Merger(log_files([("a", path), ("b", path)], follow=False))
    most = 0
    for _ in merger.merge():
        most = max(most, len(merger._heap))
    assert most <= 2
    for source in merger.sources:
        source.close()


def test_a_log_that_vanishes_while_it_is_followed_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line(1, "one"))
    log = LogFile("a", path, follow=True)
    first = log.read()
    assert first is not None
    path.unlink()
    assert log.read() is None
    path.write_text(line(2, "two"))
    second = log.read()
    assert (first.event, second.event if second else "") == ("one", "two")
    log.close()


def test_files_that_were_put_aside_are_read_first_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for place, number in (("a.jsonl.2", 1), ("a.jsonl.1", 2), ("a.jsonl", 3), ("a.jsonl.old", 9)):
        (tmp_path / place).write_text(line(number, f"event-{number}"))
    log = LogFile("a", path)
    first = log.read()
    for place, after in (("a.jsonl.2", "a.jsonl.3"), ("a.jsonl.1", "a.jsonl.2"), ("a.jsonl", "a.jsonl.1")):
        (tmp_path / place).rename(tmp_path / after)
    path.write_text(line(4, "event-4"))
    rest = [entry.event for entry in iter(log.read, None)]
    assert [first.event if first else "", *rest] == ["event-1", "event-2", "event-3"]
    log.close()
    again = LogFile("a", path, follow=True)
    assert [entry.event for entry in iter(again.read, None)] == [f"event-{number}" for number in (1, 2, 3, 4)]
    again.close()
