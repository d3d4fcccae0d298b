"""The power of a real validator is cut under load, again and again: it comes back, votes, and never contradicts itself.

One of four validators runs under the layer, which ends it before a call that the seed chooses; then its home is rebuilt
without the unsynced data. Its messages are encrypted, so the other three validators are the witnesses: two different
votes would be evidence, and a vote that is missing in its journal would retire its key.
"""

import os
import signal
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from disk_layer import environment, rule
from power_cut import VARIANTS, Disk, Op, read_folder, read_trace, write_folder
from process_tools import Load, assert_no_panic, assert_none_missing, assert_same_roots, level, statuses, wait_for
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes

ROUNDS = int(os.environ.get("RUSTORIUM_CUT_ROUNDS", "2"))
SEED = int(os.environ.get("RUSTORIUM_CUT_SEED", "0"))
VICTIM = 3
CALLS = 1500
"""Approximate number of calls of a start and a few seconds under load."""
TOLD = 400


def live_until_cut(net: Devnet, load: Load, at: int, trace: Path) -> bool:
    """Starts the victim, which ends before a call. Returns true if it did, false if it was killed after enough was
    final."""
    home = Path(net.net.nodes[VICTIM].home)
    net.spawn(VICTIM, environment(home, trace=trace, rules=[rule("cut", from_=at)]))
    goal = len(load.told) + TOLD
    wait_for(
        "it was cut, or the load went on",
        lambda: net.exit_code(VICTIM) is not None or (len(load.told) >= goal and level_enough(net)),
    )
    assert net.exit_code(VICTIM) in (None, -signal.SIGKILL), net.last_words(VICTIM)
    was_cut = net.exit_code(VICTIM) is not None
    net.kill(VICTIM)
    return was_cut


def level_enough(net: Devnet) -> bool:
    """Returns true if the victim takes part."""
    [status] = statuses(net, [VICTIM])
    return status.ready


def test_power_cuts_under_load_contradict_nothing(tmp_path: Path) -> None:
    luck, ends, lost = Random(SEED), Counter[bool](), 0
    with Devnet.create(tmp_path / "net", accounts=2) as net:
        home, others = Path(net.net.nodes[VICTIM].home), [0, 1, 2]
        for index in others:
            net.spawn(index)
        net.wait_ready(indexes=others)
        with Load(net, "cut") as load:
            for number in range(ROUNDS):
                base, trace = read_folder(home), tmp_path / "trace"
                at, variant = luck.randint(1, CALLS), luck.choice([*VARIANTS, ("dropped", "dropped")])
                ends[live_until_cut(net, load, at, trace)] += 1
                disk = Disk(home, base)
                sent = 0
                for record in read_trace(trace):
                    disk.play(record)
                    sent += record.op == Op.SEND
                disk.assert_complete(but="log")
                lost += disk.pending()
                write_folder(home, disk.image(*variant, seed=number), but="log")
                print(
                    f"round {number}: cut at {at} {variant}, {sent} datagrams sent, {disk.pending()} changes unsynced"
                )
                trace.unlink()
                assert [one.evidence for one in statuses(net, others)] == [()] * 3
            net.restart(VICTIM)
            load.wait_for_more(100)
        wait_for("all are level", lambda: level(net))
        found = statuses(net)
        assert [one.evidence for one in found] == [()] * 4
        assert [one.retired for one in found] == [""] * 4
        assert_none_missing(net, load.told[:: 1 + len(load.told) // 300])
        height = assert_same_roots(net)
        # Three of four are a quorum. With another node down, the chain goes on only if the victim signs.
        assert net.terminate(0) == 0
        with Load(net, "needed", accounts=[0]) as needed:
            needed.wait_for_more(10)
        assert_no_panic(net)
    print(f"{ROUNDS} rounds, {dict(ends)} were cut, {lost} changes lost, height {height}, {len(load.told)} told final")
    assert lost > 0
