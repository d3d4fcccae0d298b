"""Consistency from outside: clients of real processes record all they do while nodes are killed, stand still and change
epochs; then one order must explain all that they were told, and the bank must have lost and made nothing.

Invariants: what is judged is what clients saw; a seed fixes the clients' operations and the faults, and the machine how
they meet. `docs/consistency.md` says what is promised.
"""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import trio
from history_checks import all_faults
from history_clients import clients_of, prepare
from history_faults import FAULTS, conduct, plan
from history_ledger import read_record
from history_records import Record, write_history

from process_tools import assert_no_panic, assert_same_roots, level, wait_for
from rustorium.devnet import Devnet

pytestmark = pytest.mark.outside

SEEDS = [int(seed) for seed in os.environ.get("RUSTORIUM_HISTORY_SEEDS", "1").split(",")]
OPERATIONS = int(os.environ.get("RUSTORIUM_HISTORY_OPERATIONS", "80"))
"""Of each client."""
NODES = 4
ACCOUNTS = 6
"""The operator's, one for each node's client, and one that those share that ask all nodes."""


async def play(net: Devnet, seed: int) -> Record:
    """The clients' operations with the faults among them; then all run again, and the ledger is read."""
    world = await trio.to_thread.run_sync(prepare, net, seed)
    clients = clients_of(world)
    faults = plan(seed, OPERATIONS * len(clients), NODES, len(clients))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conduct, world, faults, clients)
        async with trio.open_nursery() as working:
            for client in clients:
                working.start_soon(client.run, OPERATIONS)
        await world.end()
    await trio.to_thread.run_sync(wait_for, "all are level", lambda: level(net))
    for client in clients:
        await client.settle()
    await trio.to_thread.run_sync(wait_for, "all are level", lambda: level(net))
    return await read_record(world)


def judge(checker: Path, record: Record, folder: Path) -> None:
    """Whether one order explains what the clients were told of the registers."""
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
        net.start()
        record = trio.run(play, net, seed)
        assert_same_roots(net)
    assert_no_panic(net)
    kinds = Counter((one.intent.kind, one.outcome) for one in record.done)
    print(f"seed {seed}: {len(record.done)} operations, {len(record.looks)} plain reads, {len(FAULTS)} faults")
    print(", ".join(f"{count} {kind} {outcome}" for (kind, outcome), count in sorted(kinds.items())))
    print(f"{len(record.book)} transactions, {len(record.balances)} heights, {len(record.proven)} of them proven")
    judge(checker, record, tmp_path)
    assert all_faults(record) == []
    for kind in ("write", "cas", "check", "read", "transfer"):
        assert kinds[(kind, "ok")] > 0, f"no {kind} took effect: the run shows nothing"
