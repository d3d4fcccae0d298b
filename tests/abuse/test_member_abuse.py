"""A committee member attacks the others with its own keys. Writes stay final, the attacker's frames take bounded
memory, and false signatures get it cut off and named.

`RUSTORIUM_ABUSE_TIMES` makes the attacks that much longer (`just torture`) and adds each kind of falsely signed frame
by itself. Only this long form asserts times, so no test of `just test` depends on the clock. The attacker and all nodes
share the processors of one machine, unlike in a real net. Therefore the long form also runs a second net that nobody
attacks: its losses are due to the machine and not to the attack.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from attackers import MIB, Pulse, open_sockets_max
from members import BYZANTINE, CUT_OFF, Liar, Victims
from watching import MARK, TIMES

from process_tools import wait_for
from rust_example import rust_example
from rustorium.net.devnet import Devnet

pytestmark = MARK

BEATS = 60 * TIMES
"""Number of final transactions that the test waits for before an attack and during it."""
MBIT_PER_S = 100
LIAR = 3
ACCOUNTS = range(4)
"""Accounts of the load; the attacker may be the home validator of one of them."""

SLOWER_TIMES_MAX = 1.5
"""Allowed ratio of the median latency during an attack to that of the net without an attack."""
PAUSE_MS_MAX = 1_000.0
"""Maximum latency. A leader whose proposal nobody can complete takes six times the smallest Δ, 600 ms, in the second
turn that it loses (R16); after that it is passed over."""

FALSE = ["votes", "certificates", "proposals", "junk"]
FALSE_FORMS = [FALSE] if TIMES == 1 else [FALSE, *([kind] for kind in FALSE)]
GOOD_FORMS = [["inventions"], ["batches"], ["gap"], ["second"], ["questions"]]


@pytest.fixture(scope="session")
def program() -> Path:
    open_sockets_max()
    return rust_example("liar")


class Net(Victims):
    """Four validators. One is stopped after a measurement of how fast all four are together."""

    def __init__(self, net: Devnet) -> None:
        net.start()
        with Pulse(net, ACCOUNTS) as pulse:
            pulse.wait(BEATS)
            warm = pulse.beats()
            pulse.wait(BEATS)
            self.of_four = pulse.figures(warm)
        net.kill(LIAR)
        super().__init__(net, LIAR)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """Returns the net for attackers that aren't cut off."""
    with Devnet.create(tmp_path_factory.mktemp("members")) as net:
        victims = Net(net)
        yield victims
        victims.assert_whole()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Net]:
    with Devnet.create(tmp_path / "net") as net:
        victims = Net(net)
        yield victims
        victims.assert_whole()


@pytest.fixture(scope="module")
def bystander(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet | None]:
    """Returns the long form's net with a stopped member, which nobody attacks."""
    if TIMES == 1:
        yield None
        return
    with Devnet.create(tmp_path_factory.mktemp("bystander")) as net:
        net.start()
        net.kill(LIAR)
        yield net


class ProcessorTime:
    """Measures the processor time of the honest nodes from now on."""

    def __init__(self, victims: Victims) -> None:
        self._victims, self._since, self._cpu_s = victims, time.monotonic(), victims.cpu_s()

    def share(self) -> float:
        """Returns the share of one processor that an average node used."""
        spent = self._victims.cpu_s() - self._cpu_s
        return spent / (time.monotonic() - self._since) / len(self._victims.honest)


def attack(
    victims: Net,
    bystander: Devnet | None,
    program: Path,
    kinds: list[str],
    until: Callable[[], bool],
    figure: Callable[[str], None],
) -> None:
    """Lets the attacker send these kinds of frames until the condition has held and enough writes after it are final;
    returns the figures."""
    with ExitStack() as stack:
        pulses = [stack.enter_context(Pulse(net, ACCOUNTS)) for net in (victims.net, bystander) if net is not None]

        def beat() -> list[int]:
            for pulse in pulses:
                pulse.wait(BEATS)
            return [pulse.beats() for pulse in pulses]

        # After some turns the stopped node is passed over.
        first, spent = beat(), ProcessorTime(victims)
        begun, calm_cpu = beat(), spent.share()
        victims.begin()
        with Liar(program, victims.net, LIAR, kinds, MBIT_PER_S) as liar:
            assert liar.line()["linked"] >= 1
            spent = ProcessorTime(victims)
            wait_for(f"what {kinds} must lead to", until)
            beat()
            ended, grown, cpu = [pulse.beats() for pulse in pulses], victims.grown_bytes(), spent.share()
            said = liar.end()
        calm = [pulse.figures(since, upto) for pulse, since, upto in zip(pulses, first, begun, strict=True)]
        attacked = [pulse.figures(since, upto) for pulse, since, upto in zip(pulses, begun, ended, strict=True)]
        pulses[0].wait(BEATS // 10)
    slower = [late.p50_ms / early.p50_ms for late, early in zip(attacked, calm, strict=True)]
    beside = f", bystander {slower[1]:.2f} times ({attacked[1]})" if bystander else ""
    figure(
        f"{'+'.join(kinds)} at {said['mbit_per_s']} Mbit/s: four {victims.of_four}; calm {calm[0]}; attacked"
        f" {attacked[0]}; {slower[0]:.2f} times{beside}; CPU {calm_cpu:.2f} and {cpu:.2f} a node; memory"
        f" {grown / MIB:+.0f} MiB; {said['answered_bytes'] / MIB:.0f} MiB answered"
    )
    assert said["frames"] > 0
    if bystander:
        assert slower[0] <= SLOWER_TIMES_MAX * max(1.0, slower[1]), f"{attacked[0]}, and {calm[0]} before"
        assert attacked[0].longest_ms <= PAUSE_MS_MAX, f"{attacked[0]}, and {calm[0]} before"


@pytest.mark.parametrize("kinds", FALSE_FORMS, ids="+".join)
def test_a_member_that_signs_falsely_is_cut_off_and_named(
    fresh: Net, bystander: Devnet | None, program: Path, kinds: list[str], figure: Callable[[str], None]
) -> None:
    def reported() -> bool:
        # Later lies may go unnoticed: votes that come faster than they are read are old when they are read, and what is
        # too old to matter is dropped unchecked.
        return fresh.all_find("peer-cut-off") and fresh.all_say(CUT_OFF) == [1.0] * len(fresh.honest)

    attack(fresh, bystander, program, kinds, reported, figure)
    fresh.assert_bounded()


@pytest.mark.parametrize("kinds", GOOD_FORMS, ids="+".join)
def test_useless_frames_of_a_member_take_bounded_memory(
    shared: Net, bystander: Devnet | None, program: Path, kinds: list[str], figure: Callable[[str], None]
) -> None:
    evident = kinds in (["batches"], ["gap"], ["second"])

    def reported() -> bool:
        return not evident or min(shared.all_say(BYZANTINE)) >= 1

    attack(shared, bystander, program, kinds, reported, figure)
    assert shared.all_say(CUT_OFF) == [0.0] * len(shared.honest), "what is signed well cuts nobody off"
    shared.assert_bounded()
