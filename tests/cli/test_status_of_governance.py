"""What `status check` says of operators' seats: what waits for them, what they paused, and which version they want.

Invariants: no node runs; the answers of nodes are constants.
"""

from collections.abc import Callable
from typing import Any

import pytest
from cli_runner import Cli, CommandResult
from status_answers import GOVERNANCE

from rustorium.errors import BadResponse

OPEN = {
    "number": 7,
    "change": "set_parameters",
    "approvals": [0],
    "not_approved": [1, 2],
    "until_ms": 1_800_000_000_000,
    "made": False,
}


def governed(net: Callable[..., list[str]], cli: Cli, **note: Any) -> CommandResult:
    """Checks a net of four of which the first node is behind, and knows nothing of what the seats did since."""
    new = {"governance": GOVERNANCE | note}
    old = {"governance": GOVERNANCE, "height": 8, "at": {"height": 8, "root": "00" * 32, "shard": 0}}
    ended: CommandResult = cli("status", "check", *net(old, new, new, new))
    return ended


def test_an_open_proposal_is_told_once_and_alarms_nobody(cli: Cli, net: Callable[..., list[str]]) -> None:
    ended = governed(net, cli, proposals=[OPEN])
    given = "proposal 7 (set_parameters) has 1 of 2 approvals, not those of seats 1, 2"
    said = f"{given}, and is open until 2027-01-15T08:00:00Z"
    assert (ended.code, ended.out.count(f"governance-open: {said}")) == (0, 1)
    assert "`rustorium-node govern show 7`" in ended.out
    assert "`govern approve 7 --key KEY_FILE`" in " ".join(ended.out.split())
    assert "governance-open" not in governed(net, cli).out
    made = governed(
        net, cli, proposals=[OPEN | {"change": "set_operators", "approvals": [0, 1], "not_approved": [2], "made": True}]
    )
    said = "proposal 7 (set_operators) is made and waits for its time; if seats 2 approve it too, it waits no longer"
    assert (made.code, made.out.count(f"governance-open: {said}")) == (0, 1)


def test_a_pause_is_told_until_it_ends(cli: Cli, net: Callable[..., list[str]]) -> None:
    ended = governed(net, cli, pauses=[{"until_ms": 1_800_000_000_000}])
    assert (ended.code, "paused: all accounts are paused until 2027-01-15T08:00:00Z" in ended.out) == (1, True)
    assert "`rustorium-node govern propose resume --key KEY_FILE`" in " ".join(ended.out.split())
    ended = governed(net, cli, pauses=[{"account": "rs1x", "until_ms": 1_800_000_000_000}])
    assert (ended.code, "paused: the account rs1x is paused until" in ended.out) == (1, True)
    assert "`rustorium-node govern propose resume rs1x --key KEY_FILE`" in " ".join(ended.out.split())


@pytest.mark.parametrize(("seats", "quorum", "thin"), [(1, 1, True), (2, 2, True), (3, 2, False), (0, 0, False)])
def test_seats_of_which_none_may_be_lost_are_told(
    seats: int, quorum: int, thin: bool, cli: Cli, net: Callable[..., list[str]]
) -> None:
    ended = governed(net, cli, seats=seats, quorum=quorum)
    assert (ended.code, "operators-thin: if " in ended.out) == (0, thin)
    assert (f"needs {quorum} of {seats} seats" in ended.out) == thin


def test_operators_whom_owners_replace_are_told_until_it_is_done(cli: Cli, net: Callable[..., list[str]]) -> None:
    decided = {"operators": ["ab" * 32, "cd" * 32], "quorum": 2, "from_ms": 1_800_000_000_000}
    ended = governed(net, cli, replacement=decided)
    said = "operators-replaced: validators' owners decided that 2 other operators govern from 2027-01-15T08:00:00Z on"
    assert (ended.code, ended.out.count(said)) == (1, 1)
    with pytest.raises(BadResponse):
        governed(net, cli, replacement={"operators": []})


def test_a_version_that_operators_want_names_who_does_not_speak_it(cli: Cli, net: Callable[..., list[str]]) -> None:
    names = ["node-0", "node-1", "node-2", "node-3"]

    def wanted(speaking: int) -> CommandResult:
        told = {"version": 3, "not_before_ms": 1_800_000_000_000, "needed": 3}
        return governed(net, cli, upgrade=told | {"speaking": names[:speaking], "silent": names[speaking:]})

    few = wanted(1)
    said = "upgrade-waits: operators want protocol version 3: 1 of 4 members speak it in this epoch, and 3 must"
    assert (few.code, few.out.count(said)) == (0, 1)
    assert "install a release that speaks it on node-1, node-2, node-3" in " ".join(few.out.split())
    enough = wanted(3)
    assert (enough.code, "takes it" in enough.out) == (1, True)
    assert "update node-3 before then: a node that doesn't speak it stops there" in " ".join(enough.out.split())
    every = wanted(4)
    assert (every.code, "at or after 2027-01-15T08:00:00Z takes it" in " ".join(every.out.split())) == (0, True)
    with pytest.raises(BadResponse):
        governed(net, cli, upgrade={"version": 3})


def test_a_report_about_seats_that_cannot_be_read_is_no_report(cli: Cli, net: Callable[..., list[str]]) -> None:
    with pytest.raises(BadResponse):
        net({"governance": GOVERNANCE | {"proposals": [{"number": "x"}]}})
