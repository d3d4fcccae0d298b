"""The analysis names the causes that a recording was made with, and none in a healthy net.

Invariants: no node runs and no clock is read; each recording is made of chosen figures.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli
from synthetic import STAGE_MS, SyntheticNet

from rustorium.observe.analysis.gather import POINTS_MAX, Node, gather
from rustorium.observe.analysis.page import page
from rustorium.observe.analysis.report import BINS_MAX, Report, report_of
from rustorium.observe.analysis.text import bar, lines, spark
from rustorium.observe.exposition import parse
from rustorium.observe.recording import Look, Recording, Series


def report(net: SyntheticNet, folder: Path) -> Report:
    return report_of(gather(net.record(folder / "recording")))


def causes(net: SyntheticNet, folder: Path) -> list[tuple[str, str]]:
    return [(cause.code, cause.subject) for cause in report(net, folder).causes]


def test_a_healthy_net_has_no_causes(tmp_path: Path) -> None:
    for number, net in enumerate((SyntheticNet(), SyntheticNet(n=1), SyntheticNet(n=7, usual_rtt_ms=9.0))):
        (tmp_path / str(number)).mkdir()
        assert causes(net, tmp_path / str(number)) == []


def test_the_figures_agree_with_the_recording(tmp_path: Path) -> None:
    found = report(SyntheticNet(), tmp_path)
    assert (found.seconds, found.transactions, found.transactions_per_s, found.cut_off) == (11.0, 550, 50.0, False)
    assert {row.stage: row.mean_ms for row in found.stages} == STAGE_MS
    assert [row.stage for row in found.stages] == list(STAGE_MS)
    assert sum(row.share for row in found.stages) == pytest.approx(100, abs=0.5)
    assert (found.final_mean_ms, found.between_ms) == (16.2, 2.0)
    assert found.stages[3].count == 4 * 550
    assert found.stages[3].p50_ms == pytest.approx(4.0, rel=0.5)
    assert all(one.transactions_per_s == pytest.approx(50, rel=0.02) for one in found.bins[:-1])
    assert {one.final_ms for one in found.bins} == {16.2}
    assert [row.quorum_rtt_ms for row in found.nodes] == [0.5] * 4
    assert [row.proposes_ms for row in found.nodes] == [3.0] * 4


SLOW = {
    "disk": (SyntheticNet(sync_ms={2: 41.0}), [("disk-slow", "node-2")]),
    "disk whose thread is never idle": (SyntheticNet(sync_ms={1: 12.0}, looks=9), [("disk-slow", "node-1")]),
    "all disks": (
        SyntheticNet(sync_ms=dict.fromkeys(range(4), 25.0), per_look=5),
        [("disk-slow", f"node-{index}") for index in range(4)],
    ),
    "store": (SyntheticNet(stage_ms={(1, "persist"): 14.0}, per_look=5), [("disk-slow-store", "node-1")]),
    "link": (SyntheticNet(rtt_ms={(0, 3): 180.0}), [("link-slow", "node-0 – node-3")]),
    "two links": (
        SyntheticNet(rtt_ms={(0, 3): 180.0, (1, 2): 60.0}, n=5),
        [("link-slow", "node-0 – node-3"), ("link-slow", "node-1 – node-2")],
    ),
    "link beyond its distance": (
        SyntheticNet(
            regions=("us-east-1", "eu-west-1"), usual_rtt_ms=70.0, rtt_ms={(0, 1): 240.0, (0, 2): 5.0, (1, 3): 3.0}
        ),
        [("link-slow", "node-0 – node-1")],
    ),
    "lossy link": (SyntheticNet(lost={(1, 3): 0.05}), [("link-lossy", "node-1 – node-3")]),
    "full link": (SyntheticNet(queued={(0, 2): 2**20}), [("link-full", "node-0 – node-2")]),
    "cut link": (SyntheticNet(down={(0, 1)}), [("link-down", "node-0 – node-1")]),
    "node far away": (
        SyntheticNet(rtt_ms={(0, 3): 80.0, (1, 3): 80.0, (2, 3): 90.0}),
        [("node-far", "node-3")],
    ),
    "node without links": (SyntheticNet(down={(0, 2), (1, 2), (2, 3)}), [("node-unreached", "node-2")]),
    "node that is gone": (SyntheticNet(silent={1}), [("node-silent", "node-1")]),
    "node that started anew": (SyntheticNet(restarts={2: 8}), [("node-restarted", "node-2")]),
    "node that executes slowly": (SyntheticNet(stage_ms={(3, "execute"): 9.0}), [("node-slow", "node-3")]),
    "node that checks slowly": (SyntheticNet(stage_ms={(0, "submit"): 8.0}), [("node-slow", "node-0")]),
    "node without a core": (SyntheticNet(step_ms={1: (0.5, 6.0)}, per_look=20), [("cpu-short", "node-1")]),
    "executing thread that is full": (
        SyntheticNet(stage_ms={(i, s): 8.0 for i in range(4) for s in ("execute", "persist")}),
        [("execute-full", f"node-{index}") for index in range(4)],
    ),
    "pool that is full": (SyntheticNet(busy={0: 30}), [("pool-full", "node-0")]),
    "views that fail": (SyntheticNet(nullified=6), [("views-fail", "node-0")]),
    "leader that proposes nothing": (SyntheticNet(nullified=12, loses={2: 1.0}), [("views-fail", "node-2")]),
    "leader that loses most of its views": (SyntheticNet(nullified=9, loses={3: 0.8}), [("views-fail", "node-3")]),
    "leader that is late": (SyntheticNet(late_ms={1: 45.0}), [("leader-late", "node-1")]),
    "leader that is late because of its disk": (
        SyntheticNet(late_ms={1: 45.0}, sync_ms={1: 40.0}),
        [("disk-slow", "node-1")],
    ),
    "leader that is late because it is far": (
        SyntheticNet(late_ms={3: 90.0}, rtt_ms={(0, 3): 80.0, (1, 3): 80.0, (2, 3): 90.0}),
        [("node-far", "node-3")],
    ),
    "two leaders that are late": (
        SyntheticNet(n=7, late_ms={1: 45.0, 5: 90.0}),
        [("leader-late", "node-1"), ("leader-late", "node-5")],
    ),
    "finding": (SyntheticNet(findings={3: "disk-low"}), [("disk-low", "node-3")]),
}


@pytest.mark.parametrize("what", SLOW)
def test_exactly_the_slow_part_is_found(tmp_path: Path, what: str) -> None:
    net, expected = SLOW[what]
    assert sorted(causes(net, tmp_path)) == sorted(expected)


def test_distance_alone_is_no_cause(tmp_path: Path) -> None:
    net = SyntheticNet(regions=("us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1"))
    net.rtt_ms = {(0, 1): 70.0, (0, 2): 116.0, (0, 3): 150.0, (1, 2): 180.0, (1, 3): 205.0, (2, 3): 260.0}
    found = report(net, tmp_path)
    assert found.causes == ()
    assert found.slowest_link is not None
    assert (found.slowest_link.name, found.slowest_link.ms) == ("node-2 – node-3", 260.0)
    assert [round(row.quorum_rtt_ms or 0) for row in found.nodes] == [116, 180, 180, 205]


def test_simulated_distances_of_a_devnet_are_added(tmp_path: Path) -> None:
    found = report(SyntheticNet(regions=("us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1")), tmp_path)
    assert found.causes == ()
    assert [link.pretended for link in found.links] == [True] * 6
    assert found.slowest_link is not None
    assert found.slowest_link.name == "node-2 – node-3"
    assert found.slowest_link.ms == pytest.approx(0.5 + (found.links[5].usual_ms or 0), abs=0.01)
    assert found.slowest_link.ms > 200
    assert all((row.quorum_rtt_ms or 0) > 50 for row in found.nodes)
    assert any("6 links are faster than their distance allows" in text for text, _ in lines(found, plain=True))
    assert "6 links are faster" in page(found)


def test_the_report_says_if_a_quorum_waits_for_slow_disks(tmp_path: Path) -> None:
    [one] = report(SyntheticNet(sync_ms={2: 41.0}), tmp_path).causes
    assert "a quorum forms without its votes" in one.evidence
    assert "takes 41.0 ms" in one.evidence
    assert "on the other nodes 0.6 ms" in one.evidence
    (tmp_path / "two").mkdir()
    two = report(SyntheticNet(sync_ms={2: 41.0, 3: 30.0}), tmp_path / "two").causes
    assert [cause.subject for cause in two] == ["node-2", "node-3"], "the slower first"
    assert all("a quorum needs its votes" in cause.evidence for cause in two)


def test_a_late_leader_is_found_by_the_delay_that_distance_does_not_explain(tmp_path: Path) -> None:
    net = SyntheticNet(regions=("us-east-1", "eu-west-1"), usual_rtt_ms=70.0, rtt_ms={(0, 2): 5.0, (1, 3): 3.0})
    net.late_ms = dict.fromkeys(range(4), 75.0) | {3: 130.0}
    [late] = report(net, tmp_path).causes
    assert (late.code, late.subject) == ("leader-late", "node-3")
    assert late.evidence.startswith("its proposals come 130 ms after there is work")
    assert "the network doesn't explain 60 ms of this" in late.evidence
    assert "other leaders: 5.0 ms" in late.evidence


def test_the_slowest_of_each_kind_is_named_beside_the_others(tmp_path: Path) -> None:
    net = SyntheticNet(sync_ms={1: 2.0}, rtt_ms={(1, 2): 3.0}, stage_ms={(0, "execute"): 2.0})
    found = report(net, tmp_path)
    assert found.causes == (), "slower than others, and it matters to nobody"
    assert [(one.name, one.ms, one.others_ms) for one in (found.slowest_disk, found.slowest_link) if one] == [
        ("node-1", 2.0, 0.6),
        ("node-1 – node-2", 3.0, 0.5),
    ]
    assert found.slowest_node is not None
    assert found.slowest_node.name == "node-0"
    stage = next(row for row in found.stages if row.stage == "execute")
    assert (stage.slowest_node, stage.slowest_ms) == ("node-0", 2.0)


def test_a_restart_loses_nothing_that_was_seen(tmp_path: Path) -> None:
    found = report(SyntheticNet(restarts=dict.fromkeys(range(4), 6)), tmp_path)
    assert found.transactions == 550
    assert [row.restarts for row in found.nodes] == [1] * 4
    assert {one.final_ms for one in found.bins} == {16.2}


def test_a_recording_of_an_earlier_release_is_read_as_one_of_today(tmp_path: Path) -> None:
    """The series of such a recording name no shard."""
    found = []
    for number, shard in enumerate((None, "0")):
        (tmp_path / str(number)).mkdir()
        net = SyntheticNet(named_shard=shard, sync_ms={2: 41.0}, late_ms={1: 400.0}, nullified=9)
        found.append(report(net, tmp_path / str(number)))
    assert found[0] == found[1]
    assert (found[1].transactions, {one.final_ms for one in found[1].bins}) == (550, {16.2})
    assert ("disk-slow", "node-2") in [(cause.code, cause.subject) for cause in found[1].causes]


def test_figures_of_several_shards_are_added_where_that_makes_sense(tmp_path: Path) -> None:
    shards = [SyntheticNet(named_shard=shard, n=4, per_look=per_look) for shard, per_look in (("0", 50), ("1", 7))]
    node = Node("node-0", "")
    numbers: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    series: dict[int, Series] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for look in range(3):
        values: dict[int, float] = {}
        for families in (parse(net.text(0, look).encode()) for net in shards):
            for family in families.values():
                kinds[family.name] = (family.kind, "")
                for sample in family.samples:
                    number = numbers.setdefault((sample.name, sample.labels), len(numbers))
                    series[number] = Series(family.name, sample.name, sample.labels)
                    values[number] = sample.value
        node.take(Look("node-0", 1_000 * look, 1, "", values), series, kinds)
    assert node.count("rustorium_execution_transactions") == 2 * (50 + 7)
    assert node.spread("rustorium_consensus_view_seconds").count == 2 * (50 + 7)
    validators = node.gauge("rustorium_consensus_validators")
    assert validators is not None
    assert validators.last == 4
    assert (node.points[-1].transactions, node.points[-1].stages[3][1]) == (114, 114)


def test_each_shard_has_a_row_and_members_of_all_committees_are_named(tmp_path: Path) -> None:
    second = SyntheticNet(n=8, named_shard="1", per_look=20, committee=(4, 5, 6, 7), stage_ms={(5, "execute"): 9.0})
    net = SyntheticNet(n=8, committee=(0, 1, 2, 3), rtt_ms={(5, 7): 180.0}, also=second)
    found = report(net, tmp_path)
    rows = [(row.shard, row.transactions, row.transactions_per_s, row.final_mean_ms) for row in found.shards]
    assert rows == [(0, 550, 50.0, 16.2), (1, 220, 20.0, 16.2)]
    assert (found.transactions, found.transactions_per_s) == (770, 70.0)
    assert {row.slowest_stage for row in found.shards} == {"notarize"}
    assert {link.name for link in found.links} == {f"node-{a} – node-{b}" for b in range(8) for a in range(b)}
    assert {row.proposes_ms for row in found.nodes} == {3.0}, "all lead somewhere"
    assert [(cause.code, cause.subject) for cause in found.causes] == [("link-slow", "node-5 – node-7")]
    shown = [text for text, _ in lines(found, plain=True)]
    assert sum(line.startswith(("0  ", "1  ")) for line in shown) == 2
    assert "<h2>Shards</h2>" in page(found)
    (tmp_path / "one").mkdir()
    one = report(SyntheticNet(), tmp_path / "one")
    assert one.shards == ()
    assert "<h2>Shards</h2>" not in page(one)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"late_ms": {6: 45.0}}, [("leader-late", "node-6")]),
        ({"nullified": 12, "loses": {6: 1.0}}, [("views-fail", "node-6")]),
        ({"per_look": 5}, []),
    ],
)
def test_leaders_are_compared_within_their_shard(
    tmp_path: Path, what: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    second = SyntheticNet(**{"n": 8, "named_shard": "1", "committee": (4, 5, 6, 7), **what})
    net = SyntheticNet(n=8, committee=(0, 1, 2, 3), also=second)
    assert causes(net, tmp_path) == expected


def test_long_recordings_take_bounded_room(tmp_path: Path) -> None:
    node = Node("n", "")
    series = {0: Series("rustorium_execution_transactions", "rustorium_execution_transactions_total", ())}
    for number in range(5 * POINTS_MAX):
        node.take(Look("n", number, 1, "", {0: float(number)}), series, {series[0].family: ("counter", "")})
        assert len(node.points) <= POINTS_MAX
    assert node.points[0].at_ms == 0
    assert len(node.points) > POINTS_MAX // 4
    assert node.count("rustorium_execution_transactions") == 5 * POINTS_MAX - 1
    assert len(report(SyntheticNet(looks=BINS_MAX + 20, n=1), tmp_path).bins) == BINS_MAX


def test_bars_and_lines_are_drawn_to_scale() -> None:
    assert [bar(share, 8, plain=False) for share in (0, 0.5, 0.55, 1, 9)] == [
        "",
        "████",
        "████▍",
        "████████",
        "████████",
    ]
    assert bar(0.5, 8, plain=True) == "####"
    assert spark([0, 1, None, 4, 8], 60, plain=False) == "▁▂ ▅█"
    assert spark([0, 1, None, 4, 8], 60, plain=True) == ".: +@"
    assert spark([1.0] * 600 + [3.0] * 600, 2, plain=False) == "▃█"
    assert spark([], 60, plain=False) == ""
    assert spark([0.0], 60, plain=False) == "▁"


def test_a_table_off_a_terminal_is_plain(cli: Cli, tmp_path: Path) -> None:
    SyntheticNet(sync_ms={2: 41.0}).record(tmp_path / "r")
    ended = cli("analyze", "performance", tmp_path / "r")
    assert (ended.code, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    assert re.search(r"^notarize +4.0 .* #+ +node-3", ended.out, re.MULTILINE)
    assert "slowest disk  node-2: a sync takes 41.0 ms, on the others 0.60 ms" in ended.out
    assert "disk-slow  node-2: a sync takes 41.0 ms" in ended.out
    assert "try: remove other load from this disk" in ended.out


def test_json_is_the_report(cli: Cli, tmp_path: Path) -> None:
    SyntheticNet(rtt_ms={(0, 3): 180.0}).record(tmp_path / "r")
    found = json.loads(cli("analyze", "performance", tmp_path / "r", "-o", "json").out)
    assert [(cause["code"], cause["subject"]) for cause in found["causes"]] == [("link-slow", "node-0 – node-3")]
    assert found["slowest_link"] == {"name": "node-0 – node-3", "ms": 180.0, "others_ms": 0.5}
    assert [row["stage"] for row in found["stages"]] == list(STAGE_MS)


def test_an_idle_net_is_reported_as_idle(cli: Cli, tmp_path: Path) -> None:
    SyntheticNet(per_look=0).record(tmp_path / "r")
    ended = cli("analyze", "performance", tmp_path / "r")
    assert ended.code == 0
    assert "nothing was executed during the measurement" in ended.out
    assert "no disk, link or node stands out" in ended.out


def test_a_page_is_self_contained_and_escapes_names(tmp_path: Path) -> None:
    net = SyntheticNet(sync_ms={2: 41.0}, regions=("<script>alert(1)</script>",))
    text = page(report(net, tmp_path))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"(?:src=|href|url\(|@import|https?:)", text), "no request, and the policy forbids them too"
    assert "default-src 'none'" in text
    assert "node-2</strong>" in text
    assert text.count("<svg") == text.count("</svg>") == 6
    assert re.search(r'<text [^>]*>node-2</text><rect class="bad"', text), "the slowest disk has another colour"
    assert page(report_of(gather(Recording.open(tmp_path / "recording")))) == text


def test_the_page_is_a_new_file(cli: Cli, tmp_path: Path) -> None:
    SyntheticNet().record(tmp_path / "r")
    assert cli("analyze", "performance", tmp_path / "r", "--html", tmp_path / "page.html").code == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    cli("analyze", "performance", tmp_path / "r", "--html", tmp_path / "page.html").fails(2, "never overwritten")


def test_a_recording_that_was_cut_off_is_good_up_to_there(cli: Cli, tmp_path: Path) -> None:
    SyntheticNet().record(tmp_path / "r")
    raw = (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(raw[: len(raw) // 2])
    ended = cli("analyze", "performance", tmp_path / "r")
    assert ended.code == 0
    assert "was cut off" in ended.out


def test_bad_arguments_are_one_sentence(cli: Cli, tmp_path: Path) -> None:
    command = ("analyze", "performance")
    cli(*command).fails(2, "no net is named")
    cli(*command, tmp_path / "none").fails(2, "can't be read")
    cli(*command, __file__).fails(1, "is no recording")
    cli(*command, tmp_path / "none", "--node", "http://127.0.0.1:1").fails(2, "use only one of them")
    cli(*command, tmp_path / "none", "--flame", tmp_path / "f.svg").fails(2, "--net or --home")
    cli(*command, "--node", "http://127.0.0.1:1", "--for", "soon").fails(2, "'soon' is not a duration")
    cli(*command, "--node", "http://127.0.0.1:1", "--every", "1ms").fails(2, "at least 100ms")
    cli(*command, "--node", "http://127.0.0.1:1").fails(5, "no node answers")
    cli(*command, "--home", tmp_path).fails(5, "no node answers on")
    SyntheticNet(looks=1).record(tmp_path / "short")
    cli(*command, tmp_path / "short").fails(5, "no node answered twice")
    SyntheticNet(silent=set(range(4))).record(tmp_path / "silent")
    cli(*command, tmp_path / "silent").fails(5, "no node answered twice (node-0 doesn't answer (refused))")


def test_coloured_output_has_the_same_text(tmp_path: Path) -> None:
    found = report(SyntheticNet(), tmp_path)
    assert [tone for text, tone in lines(found, plain=False) if text.startswith("no disk")] == ["good"]
    plain = [text for text, _ in lines(found, plain=True)]
    assert all(ord(letter) < 128 or letter == "–" for text in plain for letter in text)
