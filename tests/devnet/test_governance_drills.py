"""The drills of the operator's guide on real processes: keys of seats and of a validator that are stolen or lost (V52),
and what is seen of each decision (V50)."""

import json
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_one_sentence, cli, run_command, wait_for
from rustorium.access.keyfiles import public_part
from rustorium.client import Client, Key
from rustorium.errors import RustoriumError
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.net.joining import wait_for_committee
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


class Board:
    """The operators of a net, each with the key of one account."""

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self.keys = [str(one.key_file) for one in net.net.accounts]
        self.named = ("--net", net.path, "-o", "json")

    def __call__(self, holder: int, *words: object) -> Any:
        return json.loads(cli(*words, "--key", self.keys[holder], *self.named).stdout)

    def look(self, *words: object) -> Any:
        return json.loads(cli(*words, *self.named).stdout)

    def operators(self, holder: int, *holders: int) -> int:
        """Has a holder propose these operators, two of whom decide. Returns the proposal's number if it is open."""
        wanted = [word for one in holders for word in ("--operator", Key.open(self.keys[one]).public_key)]
        self(holder, "govern", "propose", "operators", *wanted, "--quorum", 2)
        return self.newest()

    def newest(self) -> int:
        proposals = self.look("govern", "list")
        return int(proposals[-1]["number"]) if proposals else 0

    def seats(self) -> list[int]:
        return [seat["number"] for seat in self.look("govern", "seats")]

    def wait_past(self, epoch: int) -> None:
        """Waits until an epoch is over, which what is wanted ends once it has its age."""
        with Client.from_net(self.net.path) as client:
            wait_for("the next epoch", lambda: client.validators()["epoch"] > epoch)

    def acts(self) -> list[tuple[str, int | None]]:
        """Returns the decisions in the first node's audit log, each with its proposal's number or its epoch."""
        home = self.net.net.nodes[0].home
        lines = json.loads(cli("audit", "show", "--home", home, "--event", "governance", "-o", "json").stdout)
        acts = [act for line in lines for act in line["fields"]["acts"]]
        return [(act["act"], act.get("number", act.get("epoch"))) for act in acts]


def test_a_stolen_and_a_lost_key_of_a_seat_are_replaced(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    board = Board(devnet_factory(accounts=6))
    assert board.operators(0, 0, 1, 2) == 0, "one operator decides alone"
    board.wait_past(0)
    assert board.seats() == [0, 1, 2]
    # A thief has the key of seat 1, and proposes to remove a validator.
    member = board.look("node", "list")[3]
    file = tmp_path / "harm.json"
    file.write_text(json.dumps({"type": "remove_validator", "validator_key": member["validator_key"]}))
    board(1, "govern", "propose", "change", file)
    harm = board.newest()
    seen = cli("status", "check", "--net", board.net.path)
    said = f"governance-open: proposal {harm} (remove_validator) has 1 of 2 approvals, not those of seats 0, 2,"
    assert seen.stdout.count(said) == 1, seen.stdout
    # The others pause the account that is in danger, and replace the seat.
    victim = board.net.net.accounts[4].address
    board(0, "govern", "propose", "pause", victim, "--for", "1h")
    board(2, "govern", "approve", board.newest())
    assert (
        f"paused: the account {victim} is paused until"
        in cli("status", "check", "--net", board.net.path, code=1).stdout
    )
    with Client.from_net(board.net.path) as client:
        with pytest.raises(RustoriumError, match="paused"):
            client.put("k", "v", key=Key.open(board.keys[4]))
        board(2, "govern", "approve", board.operators(0, 0, 3, 2))
        board.wait_past(1)
        assert (board.seats(), board.look("govern", "list")) == ([0, 3, 2], []), "what the thief proposed went, too"
        late = ("govern", "propose", "resume", victim, "--key", board.keys[1], "--net", str(board.net.path))
        assert_one_sentence(run_command(*late), 2, "no operator's seat")
        # The key of seat 2 is lost. The two that are left are a quorum.
        board(3, "govern", "approve", board.operators(0, 0, 3, 5))
        board.wait_past(2)
        assert board.seats() == [0, 3, 4]
        board(5, "govern", "propose", "resume", victim)
        board(3, "govern", "approve", board.newest())
        assert client.put("k", "v", key=Key.open(board.keys[4])).receipt is not None
    decided = [("proposed", 1), ("made", 1), ("in-force", 1), ("proposed", harm)]
    decided += [("proposed", 3), ("approved", 3), ("paused", 3)]
    for number, epoch in ((4, 2), (5, 3)):
        decided += [("proposed", number), ("approved", number), ("made", number), ("in-force", epoch)]
    decided += [("proposed", 6), ("approved", 6), ("resumed", 6)]
    wait_for("the first node executed it all", lambda: len(board.acts()) >= len(decided))
    assert board.acts() == decided
    cli("audit", "verify", "--home", board.net.net.nodes[0].home)


def test_several_operators_run_the_same_commands_and_a_stolen_validator_key_is_replaced(
    devnet_factory: DevnetFactory,
) -> None:
    board = Board(devnet_factory(accounts=3))
    board.operators(0, 0, 1, 2)
    board.wait_past(0)
    first = cli("node", "end-epoch", "--key", board.keys[0], *board.named)
    number = json.loads(first.stdout)["proposal"]
    assert f"Proposal {number} has 1 of 2 approvals" in first.stderr
    assert f"`rustorium-node govern approve {number} --key KEY_FILE`" in first.stderr
    again = board(0, "node", "end-epoch")
    assert again["proposal"] == number, "a seat approves once"
    assert board(1, "node", "end-epoch") == {"epoch": 1, "approved": "its end", "proposal": None}
    board.wait_past(1)
    # Somebody has seen a validator's key. Its owner replaces it, and the old one signs nothing from the next epoch on.
    net, home = board.net, Home(Path(board.net.net.nodes[3].home))
    assert net.terminate(3) == 0
    old = public_part(home.validator_key)[1]
    board.look("node", "replace-key", "--home", home.path)
    new = public_part(home.validator_key)[1]
    net.restart(3)
    with Client.from_net(net.path) as client:
        wait_for_committee(client, new, True, 60)
        assert old not in [one["validator_key"] for one in client.validators()["validators"]]
    # A validator leaves by the same command of two operators.
    asked = board(2, "node", "remove", "node-3")
    assert (asked["epoch"], asked["proposal"]) == (None, board.newest())
    left = board(1, "node", "remove", "node-3")
    assert (left["validator_key"], left["proposal"]) == (new, None)
    with Client.from_net(net.path) as client:
        wait_for_committee(client, new, False, 60)
        assert len(client.validators()["validators"]) == 3


def test_the_owners_replace_operators_who_are_lost(devnet_factory: DevnetFactory) -> None:
    board = Board(devnet_factory(accounts=4, parameters={"owners_recover_ms": 5_000}))
    net, [gone, new] = board.net, [Key.open(board.keys[holder]).public_key for holder in (0, 3)]
    # The only operator's key is lost: nobody can decide anything.
    wanted = ("--operator", new, "--quorum", 1)
    says = []
    for name in ("node-0", "node-1", "node-2"):
        words = ("govern", "recover", name, *wanted, "--owner-key", net.root / "owners" / f"{name}.key", *board.named)
        says.append(cli(*words).stderr)
    assert f"operator {gone} goes" in says[0]
    assert f"operator {new} comes" in says[0]
    assert "1 of 3 owners wish this." in says[0]
    assert "2 of 3 owners wish this." in says[1]
    assert "The owners decided." in says[2]
    seen = cli("status", "check", "--net", net.path, code=1).stdout
    assert "operators-replaced: validators' owners decided that another operator governs from" in seen, seen
    board.wait_past(0)
    assert "operators-replaced" not in cli("status", "check", "--net", net.path).stdout
    late = ("govern", "propose", "resume", "--key", board.keys[0], "--net", str(net.path))
    assert_one_sentence(run_command(*late), 2, "no operator's seat")
    board(3, "govern", "propose", "pause", net.net.accounts[1].address, "--for", "1h")
    decided = [("wished", None), ("wished", None), ("replaced", None), ("in-force", 1), ("proposed", 1), ("paused", 1)]
    wait_for("the first node executed it all", lambda: len(board.acts()) >= len(decided))
    assert board.acts() == decided
