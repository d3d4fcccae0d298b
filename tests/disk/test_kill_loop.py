"""kill -9 of any validators at any time under load: final transactions are kept, and no node contradicts itself."""

import os
import signal
from pathlib import Path
from random import Random

import pytest

from process_tools import Load, assert_no_panic, assert_none_missing, assert_same_roots, level, statuses, wait_for
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes

ROUNDS = int(os.environ.get("RUSTORIUM_KILL_ROUNDS", "2"))
SEED = int(os.environ.get("RUSTORIUM_KILL_SEED", "0"))


def test_kill_9_of_any_at_any_time(tmp_path: Path) -> None:
    luck, killed, told = Random(SEED), 0, []
    with Devnet.create(tmp_path / "net", accounts=2) as net:
        net.start()
        for number in range(ROUNDS):
            with Load(net, f"round-{number}") as load:
                load.wait_for_more(luck.randrange(1, 300))
                victims = luck.sample(range(4), luck.randint(1, 4))
                for index in victims:  # kill all of them before waiting for any
                    net.signal(index, signal.SIGKILL)
                for index in victims:
                    net.kill(index)
                    net.spawn(index)
                if luck.random() < 0.5:  # kill one of them again during its start
                    again = luck.choice(victims)
                    net.kill(again)
                    net.spawn(again)
                    killed += 1
                killed += len(victims)
                net.wait_ready(indexes=victims)
                load.wait_for_more(50)
            told += load.told
        wait_for("all are level", lambda: level(net))
        found = statuses(net)
        assert [one.evidence for one in found] == [()] * 4
        assert [one.retired for one in found] == [""] * 4
        assert_none_missing(net, told if ROUNDS > 10 else told[:: 1 + len(told) // 200])
        height = assert_same_roots(net)
        assert_no_panic(net)
    print(f"{ROUNDS} rounds, {killed} processes killed, height {height}, {len(told)} told final and none missing")
