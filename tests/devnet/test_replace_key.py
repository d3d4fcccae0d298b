"""Real processes: a validator with a retired key gets a new key and is needed again. A crash in between never combines
a key with another key's journal."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_no_panic, assert_one_sentence, level, run_command, start_home, statuses, wait_for
from rustorium._native import account_id
from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import public_part
from rustorium.client import Client, Key, SigningFile
from rustorium.errors import HomeError, NotReady, UsageError, VerificationFailed
from rustorium.home import lock as homelock
from rustorium.home import rekey as rekeying
from rustorium.home.paths import Home
from rustorium.home.rekey import Opener, replace_key
from rustorium.net.devnet import Devnet
from rustorium.net.joining import wait_for_committee
from rustorium.testing import DevnetFactory
from rustorium.types import Claim, Receipt, ReceiptPage, VerifiedProof

VICTIM = 3


def run_replace_key(net: Devnet, *more: str) -> subprocess.CompletedProcess[str]:
    home = net.net.nodes[VICTIM].home
    return run_command("node", "replace-key", "--home", home, "--net", str(net.path), *more)


@pytest.mark.nodes
def test_a_retired_validator_votes_with_its_new_key(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=4, accounts=1)
    home = Home(Path(net.net.nodes[VICTIM].home))
    key = Key.open(net.net.accounts[0].key_file)
    genesis = read_genesis(Path(net.net.genesis))
    with Client(net.net.endpoints[:VICTIM], genesis=genesis, key=key) as client:
        for number in range(20):
            client.put(b"before-%d" % number, b"1", wait="final")
        assert net.terminate(VICTIM) == 0
        for lost in ("db", "safety"):
            shutil.rmtree(home.path / lost)
        net.restart(VICTIM)
        wait_for("it knows", lambda: statuses(net, [VICTIM])[0].retired != "")
        old = public_part(home.validator_key)[1]
        assert_one_sentence(run_replace_key(net), 1, "stop it", "[home-locked]")
        assert public_part(home.validator_key)[1] == old
        assert net.terminate(VICTIM) == 0
        wrong = net.root / "owners" / "node-0.key"
        assert_one_sentence(run_replace_key(net, "--owner-key", str(wrong)), 2, "the owner of node-3", "--owner-key")
        alone = run_command("node", "replace-key", "--home", str(home.path))
        assert_one_sentence(alone, 2, "give --net devnet.json, or --node with the URL of another node", "[usage]")
        assert (home.safety / "retired").exists(), "nothing changed"
        ended = run_replace_key(net)
        assert ended.returncode == 0, ended.stderr
        new = public_part(home.validator_key)[1]
        assert new != old
        assert new in ended.stdout
        assert (home.path / "retired" / old / "safety" / "retired").exists()
        assert not (home.safety / "retired").exists()
        net.restart(VICTIM)
        assert wait_for_committee(client, new, True, 60) >= 1
        wait_for("all are level", lambda: level(net))
        # Three of four are a quorum. With another node down, the chain goes on only if the new key signs.
        assert net.terminate(0) == 0
    with Client(net.net.endpoints[1:], genesis=genesis, key=key, timeout_s=60.0) as client:
        for number in range(5):
            client.put(b"after-%d" % number, b"1", wait="final")
    assert all(one.retired == "" and one.evidence == () for one in statuses(net, [1, 2, 3]))
    assert_no_panic(net)


class FakeChain:
    """A fake client for `replace_key`: it shows the new key after the transaction, and proves it."""

    def __init__(self, validator: Mapping[str, Any], owner: str = "", version: int = 2) -> None:
        self.version = version
        self.validator, self.sent, self.owner = dict(validator), 0, owner
        self.proven: list[Mapping[str, Any]] = []
        self.uncertified = 0

    def validators(self) -> dict[str, Any]:
        return {"epoch": 0, "validators": [], "next": [self.validator]}

    def parameters(self) -> dict[str, Any]:
        return {"version": self.version, "since_epoch": 0, "parameters": {}}

    def governance(self) -> dict[str, Any]:
        owner = {"number": 0, "sender": self.owner, "nonce": 0, "room": 120, "changed": False}
        return {"time_ms": 0, "owners": [{**self.validator, **owner}]}

    def chain(self) -> str:
        return "00" * 32

    def send_file(self, file: SigningFile) -> None:
        assert self.version > 1, "owners are senders from version 2 on"
        assert (file.sender, file.missing) == (self.owner, 0)
        self._change(list(file.operations))

    def send(self, changes: list[Mapping[str, Any]], **_: object) -> None:
        assert self.version == 1
        self._change(changes)

    def _change(self, changes: list[Mapping[str, Any]]) -> None:
        self.sent += 1
        assert ("possession" in changes[0]) == (self.version > 1), "the epoch's version decides, not the genesis'"
        assert changes[0]["validator_key"] == self.validator["validator_key"]
        self.validator["validator_key"] = changes[0]["new_validator_key"]
        self.proven += [{"sender": self.owner, "operations": changes}]
        self.uncertified = 2

    def account_transactions(self, address: str, *, before: str | None) -> ReceiptPage:
        assert address == self.owner
        assert before is None
        return ReceiptPage(tuple(str(number) for number in reversed(range(len(self.proven)))), None)

    def prove_transaction(self, identity: str) -> bytes:
        if self.uncertified:
            self.uncertified -= 1
            raise NotReady("not certified yet")
        return identity.encode()

    def verify_proof(self, proof: bytes) -> VerifiedProof:
        receipt = Receipt("00", self.owner, 0, 1, 0, 1, 1)
        facts = {"transaction": self.proven[int(proof)]}
        return VerifiedProof("transaction", "00", Claim(2, "00", 1, 0), facts, receipt, None)


class Crash(Exception):
    """The process ends here."""


def test_a_crash_at_any_step_never_joins_a_key_with_another_journal(
    devnet_factory: DevnetFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = devnet_factory(start=False, nodes=1, accounts=1)
    home = Home(Path(net.net.nodes[0].home))
    owner, opener = net.root / "owners" / "node-0.key", Opener(net.root / "passphrase", {})
    move = rekeying._move
    home.db_of(1).parent.mkdir(parents=True)  # a shard whose store is gone has its old journal
    for crash_at in range(8):
        (home.safety / "retired").write_text("the old key's")
        home.safety_of(1).mkdir(exist_ok=True)
        (home.safety_of(1) / "old").write_text("the old key's votes in another shard")
        old = public_part(home.validator_key)[1]
        home.party.write_text(json.dumps({"validator_key": old}))
        owner_key = public_part(owner)[1]
        address = account_id(0, bytes.fromhex(owner_key))
        chain = FakeChain(
            {"name": "node-0", "validator_key": old, "owner_key": owner_key, "region": 0}, address, 1 + crash_at % 2
        )
        left = crash_at

        def crashing(source: Path, target: Path) -> None:
            nonlocal left
            if left == 0:
                raise Crash
            left -= 1
            move(source, target)

        monkeypatch.setattr(rekeying, "_move", crashing)
        with pytest.raises(Crash):
            replace_key(home, chain, owner, opener)  # type: ignore[arg-type]
        monkeypatch.setattr(rekeying, "_move", move)
        if home.validator_key.exists():
            is_old = public_part(home.validator_key)[1] == old
            assert is_old == (crash_at == 0)
            assert (home.safety / "retired").exists() == (home.safety_of(1) / "old").exists() == is_old
        else:
            ended = start_home(home.path)
            assert_one_sentence(ended, 1, "replace-key", "[rekey-unfinished]")
        done = replace_key(home, chain, owner, opener)  # type: ignore[arg-type]
        assert chain.sent == 1
        assert (done.old_key, done.new_key) == (old, public_part(home.validator_key)[1])
        assert chain.validator["validator_key"] == done.new_key
        assert (done.kept / "safety" / "retired").read_text() == "the old key's"
        assert public_part(done.kept / "validator.key")[1] == old
        assert (done.kept / "safety-1" / "old").exists()
        assert old in (done.kept / "validator.json").read_text()
        assert not home.party.exists()
        assert any(home.safety.glob("segment-*.log"))
        assert any(home.safety_of(1).glob("segment-*.log"))
        assert not (home.safety_of(1) / "old").exists()
        assert not (home.safety / "retired").exists()
        assert not home.rekey.exists()


def test_a_refusal_by_the_chain_or_a_lock_changes_nothing(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(start=False, nodes=1, accounts=1)
    home = Home(Path(net.net.nodes[0].home))
    old = home.validator_key.read_bytes()
    chain = FakeChain({"name": "node-0", "validator_key": public_part(home.validator_key)[1], "owner_key": "00" * 32,
                       "region": 0})  # fmt: skip
    with pytest.raises(UsageError, match="--owner-key"):
        replace_key(home, chain, net.root / "owners" / "node-0.key", Opener(net.root / "passphrase", {}))  # type: ignore[arg-type]
    assert chain.sent == 0
    assert home.validator_key.read_bytes() == old
    ended = None
    with homelock.stopped(home):
        ended = start_home(home.path)
    assert_one_sentence(ended, 1, "[home-locked]")
    (home.safety / "lock").unlink()
    (home.safety / "lock").mkdir()
    with pytest.raises(HomeError, match="can't be locked"), homelock.stopped(home):
        pass


def test_an_unproven_answer_of_a_node_changes_nothing(
    devnet_factory: DevnetFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = devnet_factory(start=False, nodes=1, accounts=1)
    home, opener = Home(Path(net.net.nodes[0].home)), Opener(net.root / "passphrase", {})
    owner = net.root / "owners" / "node-0.key"
    owner_key, old = public_part(owner)[1], home.validator_key.read_bytes()
    address = account_id(0, bytes.fromhex(owner_key))
    chain = FakeChain(
        {"name": "node-0", "validator_key": public_part(home.validator_key)[1], "owner_key": owner_key, "region": 0},
        address,
    )
    monkeypatch.setattr(rekeying, "PROOF_S", 0.0)
    # After an interruption, a node claims that everything is done, and proves something else.
    with pytest.raises(NotReady):
        replace_key(home, chain, owner, opener)  # type: ignore[arg-type]
    [done], chain.uncertified = chain.proven, 0
    [change] = done["operations"]
    lies = [
        [],
        [{**done, "sender": "another"}],
        [{**done, "operations": [{**change, "new_validator_key": "00" * 32}]}],
        [{**done, "operations": [{**change, "validator_key": "00" * 32}]}],
        [{**done, "operations": [{"type": "put"}]}],
    ]
    for lie in lies:
        chain.proven = lie
        with pytest.raises(VerificationFailed, match="none proves a transaction"):
            replace_key(home, chain, owner, opener)  # type: ignore[arg-type]
        assert home.validator_key.read_bytes() == old
        assert not (home.path / "retired").exists()
    chain.proven = [{"sender": address, "operations": [{"type": "put"}]}, done]
    assert replace_key(home, chain, owner, opener).new_key == chain.validator["validator_key"]  # type: ignore[arg-type]
    assert chain.sent == 1
