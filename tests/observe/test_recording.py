"""Recordings: what was written is read again, also after an interruption, and no other file is accepted.

Invariants: virtual time; no node runs.
"""

import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fake_nodes import text

from rustorium.access.files import create
from rustorium.errors import NotReady, UsageError
from rustorium.observe.exposition import parse
from rustorium.observe.figures import figures, rates
from rustorium.observe.openmetrics import of_moment, of_recording
from rustorium.observe.recording import Recorder, Recording, RecordingError
from rustorium.observe.scrape import Scrape, Target
from rustorium.observe.watching import SILENT_LOOKS_MAX, Clock, seconds_of, watch

TARGETS = [Target("node-0", "http://127.0.0.1:1", "eu-west-1"), Target("node-1", "http://127.0.0.1:2")]
FLAPPING = '# TYPE rustorium_x gauge\nrustorium_x{peer="1"} NaN\n'


def said(node: str, at_ms: int, height: int, more: str = "") -> Scrape:
    return Scrape(node, at_ms, 3, parse(text(height, more)))


def silent(node: str, at_ms: int) -> Scrape:
    return Scrape(node, at_ms, 1000, {}, "doesn't answer (refused)")


def written(path: Path, scrapes: list[Scrape], *, ended: bool = True) -> Recording:
    with create(path) as out:
        recorder = Recorder(out, TARGETS, 1_000, 500)
        for scrape in scrapes:
            recorder.add(scrape)
        if ended:
            recorder.end(9_000)
    return Recording.open(path)


def test_a_recording_is_read_back(tmp_path: Path) -> None:
    scrapes = [
        said("node-0", 1_000, 1, FLAPPING),
        said("node-1", 1_001, 1),
        said("node-0", 1_500, 2),
        silent("node-1", 1_501),
        said("node-0", 2_000, 2, FLAPPING),
        said("node-1", 2_001, 3),
    ]
    recording = written(tmp_path / "r", scrapes)
    assert (recording.started_ms, recording.every_ms, recording.nodes) == (1_000, 500, TARGETS)
    looks = 0
    for scrape, look in zip(scrapes, recording, strict=True):
        looks += 1
        assert (look.node, look.at_ms, look.took_ms, look.error) == (
            scrape.node,
            scrape.at_ms,
            scrape.took_ms,
            scrape.error,
        )
        if scrape.ok:
            expected = {name: (f.kind, f.help, sorted(map(repr, f.samples))) for name, f in scrape.families.items()}
            read = recording.families_at(look)
            assert {name: (f.kind, f.help, sorted(map(repr, f.samples))) for name, f in read.items()} == expected
    assert looks == 6
    assert recording.ended


def test_a_line_holds_what_changed_only(tmp_path: Path) -> None:
    written(tmp_path / "r", [said("node-0", 1_000, 1), said("node-0", 1_500, 1), said("node-0", 2_000, 2)])
    _, first, second, third, end = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert len(first["series"]) == len(first["values"]) == 9
    assert second == {"at_ms": 1_500, "node": "node-0", "took_ms": 3}
    assert third["values"] == [[0, 2.0], [1, 20.0]]
    assert end == {"at_ms": 9_000, "ended": True}


def test_one_that_was_cut_off_anywhere_is_good_up_to_there(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    written(whole, [said("node-0", 1_000 + 500 * i, i) for i in range(4)])
    raw = whole.read_bytes()
    first = raw.index(b"\n") + 1
    seen = set()
    for length in range(first, len(raw)):
        (tmp_path / "cut").write_bytes(raw[:length])
        recording = Recording.open(tmp_path / "cut")
        seen.add(len(list(recording)))
        assert not recording.ended
    assert seen == {0, 1, 2, 3, 4}
    for length in range(first):
        (tmp_path / "cut").write_bytes(raw[:length])
        if length < first - 1:
            with pytest.raises(RecordingError, match="is no recording"):
                Recording.open(tmp_path / "cut")


NODE = '{"name":"n","url":"u","region":""}'
HEADER = f'{{"format":"rustorium-recording","version":1,"started_ms":1,"every_ms":1,"nodes":[{NODE}]}}'
SERIES = '"families":{"f":["gauge",""]},"series":{"0":["f","f",{}]}'
BAD_LINES = {
    "is no node": ['{"at_ms":1,"node":"other"}'],
    "no series": ['{"at_ms":1,"node":"n","values":[[0,1]]}'],
    "has no family": ['{"at_ms":1,"node":"n","series":{"0":["f","f",{}]}}'],
    "not numbered": ['{"at_ms":1,"node":"n","families":{"f":["gauge",""]},"series":{"1":["f","f",{}]}}'],
    "is wrong": ["", "[]", "{}", '{"at_ms":"1","node":"n"}', '{"at_ms":1,"node":"n","x":1}', "[" * 100_000,
                 f'{{"at_ms":1,"node":"n",{SERIES},"values":[[0,"one"]]}}',
                 f'{{"at_ms":1,"node":"n",{SERIES},"values":[[0]]}}'],
}  # fmt: skip


@pytest.mark.parametrize(("part", "line"), [(part, line) for part, lines in BAD_LINES.items() for line in lines])
def test_a_wrong_line_is_named(tmp_path: Path, part: str, line: str) -> None:
    path = tmp_path / "r"
    path.write_text(f'{HEADER}\n{{"at_ms":1,"node":"n"}}\n{line}\n')
    looks = iter(Recording.open(path))
    assert next(looks).node == "n"
    with pytest.raises(RecordingError) as refused:
        next(looks)
    assert part in refused.value.message
    assert "line 3 of" in refused.value.message


def test_other_files_are_no_recordings(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with pytest.raises(UsageError, match="can't be read"):
        Recording.open(path)
    for content in (b"", b"\xff\n", b"{}\n", b"[" * 100_000, text()):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="is no recording"):
            Recording.open(path)
    path.write_text(HEADER.replace('"version":1', '"version":2') + "\n")
    with pytest.raises(RecordingError, match="of version 2, this reads 1"):
        Recording.open(path)


def test_a_recording_becomes_one_text_with_times(tmp_path: Path) -> None:
    scrapes = [said("node-0", 1_000 + 500 * i, 5 + i // 3) for i in range(200)] + [said("node-1", 1_250, 4)]
    lines = list(of_recording(written(tmp_path / "r", scrapes)))
    assert lines[-1] == "# EOF\n"
    heights = [line for line in lines if line.startswith("rustorium_consensus_height{")]
    assert heights[:2] == [
        'rustorium_consensus_height{node="node-0",shard="0"} 5 1.000\n',
        'rustorium_consensus_height{node="node-0",shard="0"} 6 2.500\n',
    ]
    assert heights[-1] == 'rustorium_consensus_height{node="node-1",shard="0"} 4 1.250\n'
    quiet = [line for line in lines if line.startswith('rustorium_gateway_finality_seconds_sum{node="node-0"}')]
    assert [line.split()[-1] for line in quiet] == ["1.000", "61.000"], "what stays is repeated each minute"
    described = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(described) == len(set(described)) == 4


def test_the_nodes_of_one_moment_become_one_text() -> None:
    lines = list(of_moment([said("a", 1, 5), silent("b", 1), said("c", 1, 6, FLAPPING)]))
    families = parse("".join(lines).encode())
    assert [(s.labels, s.value) for s in families["rustorium_consensus_height"].samples] == [
        ((("node", "a"), ("shard", "0")), 5.0),
        ((("node", "c"), ("shard", "0")), 6.0),
    ]
    assert math.isnan(families["rustorium_x"].samples[0].value)


@dataclass
class FakeNodes:
    """Nodes with preset answers: a string per scrape with a letter per node; `.` answers, `x` doesn't."""

    script: list[str]
    at_s: float = 0.0
    waits: list[float] = field(default_factory=list)
    took_s: float = 0.0
    targets: list[Target] = field(default_factory=lambda: list(TARGETS))
    looks: int = 0

    def scrape(self) -> list[Scrape]:
        plan = self.script[min(self.looks, len(self.script) - 1)]
        self.looks += 1
        self.at_s += self.took_s
        return [
            said(target.name, self.wall_ms(), self.looks) if letter == "." else silent(target.name, self.wall_ms())
            for target, letter in zip(self.targets, plan, strict=True)
        ]

    def wall_ms(self) -> int:
        return 1_000_000 + round(self.at_s * 1000)

    def clock(self) -> Clock:
        def wait(seconds: float) -> None:
            self.waits.append(seconds)
            self.at_s += seconds

        return Clock(lambda: self.at_s, self.wall_ms, wait)


def run(nodes: FakeNodes, out: io.BytesIO, for_s: float = 5.0) -> tuple[list[str], list[tuple[int, int]]]:
    told: list[str] = []
    moved: list[tuple[int, int]] = []
    seen = watch(
        nodes,
        out,
        for_s=for_s,
        every_s=1.0,
        advance=lambda done, total: moved.append((done, total)),
        tell=told.append,
        clock=nodes.clock(),
    )
    assert seen.looks == nodes.looks
    return told, moved


def test_a_node_that_goes_away_is_noted_and_asked_again() -> None:
    nodes, out = FakeNodes(["..", ".x", ".x", "..", ".."], took_s=0.25), io.BytesIO()
    told, moved = run(nodes, out)
    assert told == ["node-1 doesn't answer (refused); it is asked again", "node-1 is back"]
    assert moved == [(number, 5) for number in range(1, 6)]
    assert nodes.waits == [0.75] * 4, "a look's own time doesn't move the next one"
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line.get("error", "") != "" for line in lines if line.get("node") == "node-1"] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert lines[-1]["ended"]


def test_a_slow_look_is_followed_by_the_next_at_once() -> None:
    nodes = FakeNodes([".."], took_s=2.5)
    run(nodes, io.BytesIO())
    assert nodes.waits == []


def test_recording_ends_if_no_node_answers() -> None:
    nodes, out = FakeNodes(["xx"]), io.BytesIO()
    with pytest.raises(NotReady, match="no node answers: node-0 doesn't answer"):
        run(nodes, out)
    assert nodes.looks == 1
    nodes, out = FakeNodes(["..", "..", "xx"]), io.BytesIO()
    with pytest.raises(NotReady, match="no node answers"):
        run(nodes, out, for_s=100.0)
    assert nodes.looks == 2 + SILENT_LOOKS_MAX
    assert json.loads(out.getvalue().splitlines()[-1])["ended"]


def test_an_interrupted_recording_is_complete(tmp_path: Path) -> None:
    nodes = FakeNodes([".."])

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    clock = Clock(lambda: nodes.at_s, nodes.wall_ms, interrupt)
    with create(tmp_path / "r") as out, pytest.raises(KeyboardInterrupt):
        watch(nodes, out, for_s=9.0, every_s=1.0, advance=lambda *_: None, tell=print, clock=clock)
    recording = Recording.open(tmp_path / "r")
    assert [look.node for look in recording] == ["node-0", "node-1"]
    assert recording.ended


def test_figures_and_rates_agree_with_the_nodes_answers() -> None:
    first, last = said("node-0", 1_000, 10), said("node-0", 6_000, 30)
    found = figures(last.families)
    assert (found["height"], found["transactions"], found["final_p50_ms"], found["missing"]) == (30, 300, 10.0, None)
    moved = rates(first.families, last.families, 5.0)
    assert (moved["transactions_per_s"], moved["blocks_per_s"]) == (40.0, None)
    assert rates(last.families, first.families, 5.0)["transactions_per_s"] is None, "it was restarted"
    assert rates(first.families, last.families, 0.0)["transactions_per_s"] is None


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90.0), ("5m", 300.0), ("250ms", 0.25), ("1.5h", 5400.0), ("1d", 86400.0)]
)
def test_times_are_read(written: str, seconds: float) -> None:
    assert seconds_of(written, "--for") == seconds


@pytest.mark.parametrize(
    "written", ["", "5", "m", "-5m", "5 m", "1e9s", "5M", "nan", "0s", "31d", "9" * 400 + "s", "1.2.3s", "\u0663s"]
)
def test_invalid_times_are_refused(written: str) -> None:
    with pytest.raises(UsageError, match="--for"):
        seconds_of(written, "--for")
