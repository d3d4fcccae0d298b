"""An owner replaces its validator's keys as often as possible. Epochs have a minimum age, so the owner slows the others
down only a little (R45).

`RUSTORIUM_ABUSE_TIMES` makes the test longer, with epochs of ten seconds (`just torture`); only this long form asserts
the rate.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from attackers import Pulse
from watching import MARK, TIMES

from process_tools import DEADLINE_S, assert_no_panic, assert_same_roots, level, wait_for
from rustorium import _native
from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import public_part
from rustorium.client import Client
from rustorium.client.operations import possession_of, replace_key
from rustorium.errors import RustoriumError
from rustorium.home.rekey import Opener, owner_of
from rustorium.net.devnet import Devnet
from rustorium.net.joining import find

pytestmark = MARK

AGE_S = 2 if TIMES == 1 else 10
EPOCHS = 2 + TIMES // 4
CLOCKS_S = 2
"""Maximum difference between header time and this process's clock."""
CHURNER = 3
HONEST = [0, 1, 2]
RATE_MIN = 0.9
"""Minimum share of the rate without the attack; a machine with two cores doesn't measure more exactly."""


class Churner:
    """An owner that gives its validator new keys in each epoch. Nobody runs a node with these keys."""

    def __init__(self, net: Devnet) -> None:
        self.epoch, self.sent = 0, 0
        self._net, self._stop = net, threading.Event()
        self._faults: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Churner":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_S)
        if self._faults:
            raise self._faults[0]

    def reached(self, epoch: int) -> bool:
        """Returns true if this epoch has begun."""
        if self._faults:
            raise self._faults[0]
        return self.epoch >= epoch

    def _run(self) -> None:
        try:
            urls = [self._net.net.nodes[index].http for index in HONEST]
            genesis = read_genesis(Path(self._net.net.genesis))
            with Client(urls, genesis=genesis, timeout_s=DEADLINE_S) as client:
                while not self._stop.wait(0.05):
                    self._replace(client)
        except BaseException as error:
            self._faults.append(error)

    def _replace(self, client: Client) -> None:
        answer = client.validators()
        self.epoch = int(answer["epoch"])
        name = self._net.net.nodes[CHURNER].name
        one, wished = find(answer["validators"], name), find(answer["next"], name)
        if one["validator_key"] != wished["validator_key"]:
            return
        file = self._net.root / "owners" / f"{name}.key"
        owner = owner_of(file, one, Opener(self._net.root / "passphrase", os.environ))
        validator, node = _native.generate_seed(), _native.generate_seed()
        proof = possession_of(validator, node, self._net.net.chain, public_part(file)[1])
        new = [_native.public_key(seed).hex() for seed in (validator, node)]
        try:
            client.send([replace_key(one["validator_key"], *new, proof)], key=owner, wait="final")
        except RustoriumError:
            # The replacement may have taken effect since the check.
            assert int(client.validators()["epoch"]) > self.epoch
        self.sent += 1


def test_an_owner_that_keeps_replacing_its_keys_slows_others_only_a_little(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    created = time.monotonic()
    with Devnet.create(tmp_path / "net", parameters={"min_epoch_ms": 1_000 * AGE_S}) as net:
        net.start()
        net.kill(CHURNER)
        with Pulse(net) as pulse:
            pulse.wait(20 * TIMES)
            first, begun = pulse.beats(), time.monotonic()
            wait_for("a calm time", lambda: time.monotonic() - begun >= AGE_S * TIMES / 4)
            calm, calm_rate = pulse.figures(first), (pulse.beats() - first) / (time.monotonic() - begun)
            with Churner(net) as churner:
                # The epoch of the time without attack is old enough, so it ends at once.
                wait_for("the first epoch ends", lambda: churner.reached(1))
                first, begun = pulse.beats(), time.monotonic()
                wait_for(f"{EPOCHS} more end", lambda: churner.reached(1 + EPOCHS), DEADLINE_S + EPOCHS * AGE_S)
                churned, rate = pulse.figures(first), (pulse.beats() - first) / (time.monotonic() - begun)
                epoch, took_s = churner.epoch, time.monotonic() - created
            pulse.wait(5)
        figure(
            f"epochs of {AGE_S} s: calm {calm}, {calm_rate:.1f} a second; churned {churned}, {rate:.1f} a second:"
            f" {rate / calm_rate:.3f}; {epoch} epochs in {took_s:.0f} s"
        )
        assert epoch <= (took_s + CLOCKS_S) / AGE_S
        if TIMES > 1:
            assert rate >= RATE_MIN * calm_rate
        wait_for("all are level", lambda: level(net, HONEST))
        assert_same_roots(net, indexes=HONEST)
        assert_no_panic(net)
