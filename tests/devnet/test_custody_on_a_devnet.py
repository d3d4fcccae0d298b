"""The drill for keys that are lost or stolen (docs/signing.md), on a devnet. Recoveries take an hour at least: their
effect is tested in crates/execution/tests/it/custody.rs, by header time."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_one_sentence, cli, run_command
from rustorium.client import Client, Key, SigningFile, operations
from rustorium.errors import Refused, TransactionFailed, UsageError
from rustorium.net.devnet import Devnet
from rustorium.types import Authority, Recovery, Subject

pytestmark = pytest.mark.nodes

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass
class Drill:
    """An owner and a recovery account with storage, and the folder of their files."""

    devnet: Devnet
    folder: Path
    owner: Key
    helper: Key

    @classmethod
    def begin(cls, devnet: Devnet, folder: Path) -> "Drill":
        owner, helper = Key.generate(), Key.generate()
        sponsor = Key.open(devnet.net.accounts[0].key_file)
        with Client.from_net(devnet.path) as client:
            made = [operations.create_account(0, key.public_key, 20_000) for key in (owner, helper)]
            client.send(made, key=sponsor)
        return cls(devnet, folder, owner, helper)

    def authority(self, name: str, key: Key) -> Path:
        file = self.folder / name
        cli("keys", "authority", "new", file, key.public_key, "--threshold", 1)
        return file

    def file(self, key: Key, command: str, *words: object) -> SigningFile:
        """Returns the file that a command writes for an account of one key."""
        out = self.folder / f"{command}-{len(list(self.folder.iterdir()))}.json"
        named = ["--unsigned", out, "--account", key.address, "--net", self.devnet.path]
        cli("keys", "authority", command, *words, *named)
        return SigningFile.read(out)

    def shown(self) -> dict[str, Any]:
        shown = cli("keys", "authority", "show", self.owner.address, "--net", self.devnet.path, "-o", "json")
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    def send(self, client: Client, key: Key, command: str, *words: object) -> None:
        done = client.send_file(self.file(key, command, *words).sign(key), wait="certified")
        assert done.receipt is not None
        assert done.receipt.ok


def test_a_stolen_key_is_answered_by_a_recovery(devnet: Devnet, tmp_path: Path) -> None:
    drill = Drill.begin(devnet, tmp_path)
    owner, helper, next_ = drill.owner, drill.helper, Key.generate()
    mine, theirs = drill.authority("owner.json", owner), drill.authority("next.json", next_)
    recovery = ["--recovery", helper.address, "--recovery-delay", "3d", "--final"]
    with Client.from_net(devnet.path) as client:
        drill.send(client, owner, "set", mine, "--delay", "1d", *recovery)
        shown = drill.shown()
        assert (shown["keys"], shown["delay_ms"], shown["pending"]) == ([owner.public_key], DAY_MS, None)
        assert shown["recovery"] == {"account": helper.address, "delay_ms": 3 * DAY_MS, "final": True}
        # The thief takes the account: that waits, and everybody sees it.
        drill.send(client, owner, "set", theirs, "--no-recovery")
        pending = drill.shown()["pending"]
        assert (pending["by"], pending["authority"]["keys"], pending["recovery"]) == (
            "keys",
            [next_.public_key],
            None,
        )
        with pytest.raises(UsageError, match="its signatures would not count"):
            client.prepare(
                [operations.put(owner.address, "a", "1")],
                account=owner.address,
                authority=Authority(1, [next_.public_key]),
            )
        # The recovery account takes it back, and nobody acts meanwhile.
        drill.send(client, helper, "recover", owner.address, theirs)
        shown = drill.shown()
        assert (shown["pending"]["by"], shown["pending"]["void_grants"]) == ("recovery", True)
        assert shown["frozen_until_ms"] == shown["pending"]["due_ms"]
        with pytest.raises(UsageError, match="is frozen until"):
            client.prepare([operations.cancel_authority()], account=owner.address)
        chain = client.prepare([operations.cancel_authority()], account=helper.address).chain
        expires_at_ms = client.authority(owner.address).time_ms + 60_000
        acts = Authority(1, [owner.public_key])
        frozen = SigningFile.build(chain, acts, owner.address, 2, expires_at_ms, [operations.cancel_authority()])
        with pytest.raises(Refused) as refused:
            client.send_file(frozen.sign(owner))
        assert refused.value.code == "frozen"
        drill.send(client, helper, "withdraw", owner.address)
        assert drill.shown()["pending"] is None
        state = client.proven([Subject(owner.address, authority=True)], at="current")
        assert state.items[Subject(owner.address, authority=True)] is not None
        assert client.put("a", "1", key=owner).receipt is not None


def test_an_honest_change_is_approved_at_once(devnet: Devnet, tmp_path: Path) -> None:
    drill = Drill.begin(devnet, tmp_path)
    owner, helper, next_ = drill.owner, drill.helper, Key.generate()
    mine, new = drill.authority("owner.json", owner), drill.authority("next.json", next_)
    recovery = ["--recovery", helper.address, "--recovery-delay", "1h", "--not-final"]
    with Client.from_net(devnet.path) as client:
        drill.send(client, owner, "set", mine, *recovery)
        drill.send(client, owner, "set", new, *recovery)
        drill.send(client, helper, "approve", owner.address)
        shown = drill.shown()
        assert (shown["keys"], shown["pending"]) == ([next_.public_key], None)
        put = client.prepare([operations.put(owner.address, "a", "1")], account=owner.address)
        assert put.authority == Authority(1, [next_.public_key])
        done = client.send_file(put.sign(next_))
        assert done.receipt is not None
        # A change that its keys began, and cancel.
        by = Recovery(helper.address, HOUR_MS, final=False)
        change = operations.set_authority(Authority(1, [owner.public_key]), recovery=by)
        client.send_file(client.prepare([change], account=owner.address).sign(next_))
        cancelled = client.prepare([operations.cancel_authority()], account=owner.address)
        client.send_file(cancelled.sign(next_))
        with pytest.raises(TransactionFailed) as failed:
            client.send([operations.approve_authority(owner.address, "00" * 32)], key=helper)
        assert failed.value.failure == "nothing-pending"
        with pytest.raises(TransactionFailed) as failed:
            client.send([operations.recover(helper.address, Authority(1, [next_.public_key]))], key=helper)
        assert failed.value.failure == "not-recovery"


def test_what_has_no_default_is_asked_for(devnet: Devnet, tmp_path: Path) -> None:
    drill = Drill.begin(devnet, tmp_path)
    mine = drill.authority("owner.json", drill.owner)
    common = ["--unsigned", tmp_path / "t.json", "--account", drill.owner.address, "--net", devnet.path]
    address = drill.helper.address
    for words, says in [
        ([], "say who recovers the account"),
        (["--recovery", address, "--no-recovery"], "say who recovers the account"),
        (["--recovery", address, "--final"], "give --recovery-delay"),
        (["--recovery", address, "--recovery-delay", "1h"], "Both at once nobody can have"),
        (["--no-recovery", "--final"], "name it with --recovery"),
    ]:
        assert_one_sentence(run_command("keys", "authority", "set", *map(str, [mine, *words, *common])), 2, says)
    approve = run_command("keys", "authority", "approve", *map(str, [drill.owner.address, *common]))
    assert_one_sentence(approve, 2, "began no change that waits")
    assert not (tmp_path / "t.json").exists()
