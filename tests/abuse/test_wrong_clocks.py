"""The clocks of real nodes jump. The chain goes on within half a minute, and a finding names the clock (R48).

`RUSTORIUM_ABUSE_TIMES` makes the measured times that much longer (`just torture`).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from attackers import Pulse
from clock import Clock
from watching import MARK, TIMES

from process_tools import assert_no_panic, assert_same_roots, level, statuses, wait_for
from rustorium.net.devnet import Devnet

pytestmark = MARK

BEATS = 20 * TIMES
"""Number of final transactions that the test waits for before a jump and after it."""
HOUR_S = 3_600
FINAL_WITHIN_S = 30.0
BEHIND, AHEAD = "chain-ahead-of-clock", "block-ahead-of-clock"
FAST = 2


class Net:
    """Four validators and their clocks."""

    def __init__(self, net: Devnet, folder: Path) -> None:
        self.net = net
        self.clocks = [Clock(folder / f"clock-{node.index}") for node in net.net.nodes]
        for node in net.net.nodes:
            net.spawn(node.index, self.clocks[node.index].environment)
        net.wait_ready()

    def find(self, code: str, indexes: Sequence[int]) -> list[str]:
        """Returns the evidence in these nodes' findings of this code."""
        found = statuses(self.net, indexes)
        return [one.evidence for status in found for one in status.findings if one.code == code]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with Devnet.create(tmp_path / "net") as devnet:
        yield Net(devnet, tmp_path)
        wait_for("all are level", lambda: level(devnet))
        assert_same_roots(devnet)
        assert_no_panic(devnet)


def step(net: Net, indexes: Sequence[int], seconds: int, figure: Callable[[str], None]) -> None:
    """Moves these clocks under load, and asserts that writes become final within the promised time."""
    # Any of these nodes may be the home validator of a sender.
    with Pulse(net.net, range(4)) as pulse:
        pulse.wait(5)
        warm = pulse.beats()
        pulse.wait(BEATS)
        calm, stepped = pulse.figures(warm), pulse.beats()
        for index in indexes:
            net.clocks[index].shift(seconds)
        # The write in flight may be final already.
        took_s = wait_for("a write that was begun after it", lambda: pulse.beats() >= stepped + 2)
        pulse.wait(BEATS)
        after = pulse.figures(stepped)
    figure(f"{len(indexes)} of 4 clocks {seconds:+} s: calm {calm}; after it {after}")
    assert took_s < FINAL_WITHIN_S
    assert after.longest_ms < 1_000 * FINAL_WITHIN_S


@pytest.mark.parametrize("indexes", [range(4), [1, 3]], ids=["all", "two"])
def test_clocks_set_back_an_hour_do_not_stop_the_chain_and_are_named(
    net: Net, indexes: Sequence[int], figure: Callable[[str], None]
) -> None:
    step(net, indexes, -HOUR_S, figure)
    with Pulse(net.net):
        wait_for("all whose clocks are behind say so", lambda: len(net.find(BEHIND, indexes)) == len(indexes))
        right = [index for index in range(4) if index not in indexes]
        assert net.find(BEHIND, right) == []
        for index in indexes:
            net.clocks[index].shift(0)
        wait_for("it is over", lambda: not net.find(BEHIND, range(4)))


def test_a_clock_an_hour_ahead_does_not_stop_the_chain_is_named_and_has_no_later_effect(
    net: Net, figure: Callable[[str], None]
) -> None:
    step(net, [FAST], HOUR_S, figure)
    others = [index for index in range(4) if index != FAST]
    with Pulse(net.net):
        wait_for("all others say so", lambda: len(net.find(AHEAD, others)) == len(others))
    name = net.net.net.nodes[FAST].name
    assert all(name in said for said in net.find(AHEAD, others))
    step(net, [FAST], 0, figure)
    assert net.find(BEHIND, range(4)) == []
