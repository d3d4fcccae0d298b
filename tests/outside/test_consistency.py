"""Consistency from outside: clients of real processes record all their operations while nodes are killed and stopped
and epochs change. Then one order must explain all results, and the bank's total must not have changed.

Invariants: only the clients' observations are judged. A seed determines the clients' operations and the faults; how
they coincide depends on the machine. `docs/consistency.md` says what is promised.
"""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import trio
from history_checks import all_faults
from history_clients import clients_of
from history_faults import NODE_FAULTS, OTHER_FAULTS, PATIENCE_S, conduct, plan
from history_ledger import read_record
from history_records import Record, write_history
from history_world import follow, prepare

from process_tools import assert_no_panic, assert_same_roots, level, statuses, wait_for
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.outside

SEEDS = [int(seed) for seed in os.environ.get("RUSTORIUM_HISTORY_SEEDS", "1").split(",")]
OPERATIONS = int(os.environ.get("RUSTORIUM_HISTORY_OPERATIONS", "80"))
"""Number of operations of each client."""
LONG = 200
"""From this number on, each fault of nodes occurs twice, and the committee changes in between."""
NODES = 4
ACCOUNTS = 6
"""Accounts: the operator's, one for each node's client, and one that the clients of all nodes share."""


async def play(net: Devnet, seed: int) -> Record:
    """Runs the clients' operations and the faults; then all nodes run again, and the ledger is read."""
    world = await trio.to_thread.run_sync(prepare, net, seed)
    clients = clients_of(world)
    total = OPERATIONS * len(clients)
    node_faults = NODE_FAULTS if OPERATIONS < LONG else (*NODE_FAULTS, "join", *NODE_FAULTS)
    urls = net.net.endpoints
    async with trio.open_nursery() as following:
        following.start_soon(follow, world, urls)
        following.start_soon(follow, world, [urls[seed % NODES]])
        async with trio.open_nursery() as conducting:
            for kinds in (node_faults, OTHER_FAULTS):
                conducting.start_soon(conduct, world, plan(seed, kinds, total, NODES, len(clients)), clients)
            async with trio.open_nursery() as working:
                for client in clients:
                    working.start_soon(client.run, OPERATIONS)
            await world.end()
        await trio.to_thread.run_sync(wait_for, "all are level", lambda: level(net), PATIENCE_S)
        for client in clients:
            await client.settle()
        await trio.to_thread.run_sync(wait_for, "all are level", lambda: level(net), PATIENCE_S)
        record = await read_record(world)
        await world.followed(record.book[-1].place)
        following.cancel_scope.cancel()
    return record


def judge(checker: Path, record: Record, folder: Path) -> None:
    """Checks that one order explains the clients' results on registers."""
    history = folder / "history.jsonl"
    write_history(history, record.done)
    command = [str(checker), "-html", str(folder / "history.html"), str(history)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    print(judged.stdout.strip())
    assert judged.returncode == 0, judged.stdout + judged.stderr


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", SEEDS)
def test_one_order_explains_what_all_clients_saw(seed: int, checker: Path, tmp_path: Path) -> None:
    with Devnet.create(tmp_path / "net", accounts=ACCOUNTS) as net:
        net.start(timeout_s=PATIENCE_S)
        record = trio.run(play, net, seed)
        assert_same_roots(net)
        epoch = max(status.epoch for status in statuses(net))
    assert epoch > 0
    assert_no_panic(net)
    kinds = Counter((one.intent.kind, one.outcome) for one in record.done)
    print(f"seed {seed}: {len(record.done)} operations, {len(record.looks)} plain reads, epoch {epoch}")
    print(", ".join(f"{count} {kind} {outcome}" for (kind, outcome), count in sorted(kinds.items())))
    print(f"{len(record.book)} transactions, {len(record.balances)} heights, {len(record.proven)} of them proven")
    judge(checker, record, tmp_path)
    assert all_faults(record) == []
    for kind in ("write", "cas", "check", "read", "transfer"):
        assert kinds[(kind, "ok")] > 0, f"no {kind} took effect: the run shows nothing"
