"""A devnet's operators change its parameters, its operators and their keys, and pause its accounts, by commands."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_one_sentence, cli, run_command, wait_for
from rustorium.client import Client, Key
from rustorium.client.wording import sentences
from rustorium.errors import Refused
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory
from rustorium.types import Subject

pytestmark = pytest.mark.nodes


class Office:
    """The commands of `govern` on one net, signed by a key unless another is named."""

    def __init__(self, net: Devnet, folder: Path) -> None:
        self.net, self.folder, self.key = net, folder, str(net.net.accounts[0].key_file)

    def __call__(self, *words: object, key: str | None = None) -> Any:
        signed = ["--key", key or self.key] if words[0] not in ("list", "seats", "show") else []
        done = cli("govern", *words, *signed, "--net", self.net.path, "-o", "json")
        return json.loads(done.stdout)

    def refused(self, *words: object) -> Any:
        """Returns how a command ended that may be refused."""
        return run_command("govern", *map(str, words), "--key", self.key, "--net", str(self.net.path))

    def wait_past(self, epoch: int) -> None:
        """Waits until an epoch is over, which what is wanted ends once it has its age."""
        with Client.from_net(self.net.path) as client:
            wait_for("the next epoch", lambda: client.validators()["epoch"] > epoch)

    def end_epoch(self, epoch: int) -> None:
        """Has an epoch end in which nothing is wanted."""
        file = self.folder / f"end-{epoch}.json"
        file.write_text(json.dumps({"type": "end_epoch", "epoch": epoch}))
        assert self("propose", "change", file)["outcome"] == "ok"
        self.wait_past(epoch)


def test_parameters_and_operators_change_while_clients_follow(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory()
    office = Office(net, tmp_path)
    [seat] = office("seats")
    assert (seat["number"], seat["nonce"], seat["authority_hash"]) == (0, 0, None)
    planned = office("propose", "parameters", "--set", "epoch_ms=172800000", "--dry-run")
    assert planned["changes"] == ["epoch_ms: 86400000 -> 172800000"]
    assert_one_sentence(office.refused("propose", "parameters", "--set", "epochs=1"), 2, "no chain parameter")
    out_of_range = office.refused("propose", "parameters", "--set", "expiry_ahead_ms_max=1")
    assert "bad-parameters" in out_of_range.stderr
    assert office("propose", "parameters", "--set", "epoch_ms=172800000")["outcome"] == "ok"
    office.wait_past(0)
    with Client.from_net(net.path) as client:
        found = client.parameters()
        assert (found["parameters"]["epoch_ms"], found["since_epoch"]) == (172_800_000, 1)
        key = Key.open(net.net.accounts[1].key_file)
        assert client.put("k", "v", key=key, wait="certified").proof is not None
        assert client.catch_up()["epoch"] == 1
    # Another key governs from the next epoch on.
    new = Key.open(net.net.accounts[2].key_file)
    made = office("propose", "operators", "--operator", new.public_key, "--quorum", "1")
    assert made["outcome"] == "ok"
    office.wait_past(1)
    assert_one_sentence(office.refused("propose", "resume"), 2, "no operator's seat")
    [seat] = office("seats")
    assert (seat["number"], seat["public_key"]) == (1, new.public_key)
    office.key = str(net.net.accounts[2].key_file)
    office.end_epoch(2)
    with Client.from_net(net.path) as client:
        assert client.catch_up()["epoch"] == 3


def test_validators_that_do_not_lead_and_lead_again(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory()
    office = Office(net, tmp_path)
    names = [node.name for node in net.net.nodes]
    assert_one_sentence(office.refused("propose", "leaders", *names[:2]), 2, "at least 3 of 4 validators must lead")
    assert_one_sentence(office.refused("propose", "leaders", "nobody"), 2, "no validator is named nobody")
    planned = office("propose", "leaders", *names[:3], "--dry-run")
    assert "leads in one cycle of 32 alone" in planned["changes"][0]
    assert office("propose", "leaders", *names[:3])["outcome"] == "ok"
    office.wait_past(0)
    with Client.from_net(net.path) as client:
        key = Key.open(net.net.accounts[1].key_file)
        receipts = [client.put("k", f"{number}", key=key, wait="final").receipt for number in range(20)]
        proposers = {client.block(receipt.height).proposer for receipt in receipts if receipt is not None}
        assert proposers == {0, 1, 2}, "three lead in cycles of three views"
    assert office("propose", "leaders")["outcome"] == "ok"
    office.wait_past(1)
    with Client.from_net(net.path) as client:
        assert "not_leading" not in client.parameters()["parameters"]


def test_a_later_version_is_wanted_waits_for_members_and_is_recalled(
    devnet_factory: DevnetFactory, tmp_path: Path
) -> None:
    net = devnet_factory()
    office = Office(net, tmp_path)
    assert "bad-version" in office.refused("propose", "upgrade", "4").stderr
    assert "bad-version" in office.refused("propose", "upgrade", "2").stderr, "there is nothing to recall"
    planned = office("propose", "upgrade", "3", "--after", "7d", "--dry-run")
    assert "have the chain go on by protocol version 3" in planned["changes"][0]
    assert office("propose", "upgrade", "3", "--after", "7d")["outcome"] == "ok"
    with Client.from_net(net.path) as client:
        wanted = client.governance()["upgrade"]
        assert (wanted["version"], wanted["needed"], wanted["speaking"]) == (3, 3, [])
        assert sorted(wanted["silent"]) == [node.name for node in net.net.nodes]
        assert client.put("k", "v", key=Key.open(net.net.accounts[1].key_file)).receipt is not None
    checked = cli("status", "check", "--net", net.path)
    assert "upgrade-waits: operators want protocol version 3: 0 of 4 members speak it" in checked.stdout
    listed = run_command("govern", "list", "--net", str(net.path))
    assert "Protocol version 3 is wanted" in listed.stderr
    assert office("propose", "upgrade", "2")["outcome"] == "ok"
    with Client.from_net(net.path) as client:
        assert "upgrade" not in client.governance()


def test_an_account_becomes_a_sponsor_and_another_one_draws_from_it(
    devnet_factory: DevnetFactory, tmp_path: Path
) -> None:
    net = devnet_factory()
    office = Office(net, tmp_path)
    accounts = net.net.accounts
    planned = office("propose", "set-sponsor", accounts[1].address, "--share", "12.5", "--for", "7d", "--dry-run")
    assert "12.5 % of the work and 12.5 % of the history until" in planned["changes"][0]
    assert planned["effect"] == "at once"
    number = 256 + planned["number"]
    assert office("propose", "set-sponsor", accounts[1].address, "--share", "50")["outcome"] == "ok"
    assert office("propose", "assign-sponsor", accounts[2].address, number)["outcome"] == "ok"
    refused = office.refused("propose", "assign-sponsor", accounts[2].address, "2")
    assert "no-such-sponsor" in refused.stderr
    with Client.from_net(net.path) as client:
        held = [client.account(one.address, verify=False).sponsor for one in accounts[:3]]
        assert held == [0, number, number]
        assert client.put("k", "v", key=Key.open(accounts[2].key_file)).receipt is not None


def test_a_seat_of_two_of_three_keys_pauses_the_net(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory()
    office = Office(net, tmp_path)
    holders = [str(one.key_file) for one in net.net.accounts[1:4]]
    keys = [Key.open(path).public_key for path in holders]
    authority, named = tmp_path / "office.json", ["--net", net.path]
    cli("keys", "authority", "new", authority, *keys, "--threshold", 2)
    assert office("rotate", "--to", authority)["outcome"] == "ok"
    # The former key is nobody's, also for changes of the committee.
    assert_one_sentence(office.refused("propose", "resume"), 2, "no operator's seat")
    ended = run_command("node", "end-epoch", "--key", office.key, "--net", str(net.path))
    assert_one_sentence(ended, 2, "is not an operator that acts alone")
    file = tmp_path / "pause.json"
    proposing = ("govern", "propose", "pause", "--for", "1h", "--unsigned", file, "--authority", authority)
    row = json.loads(cli(*proposing, *named, "-o", "json").stdout)
    assert (row["threshold"], row["missing"]) == (2, 2)
    [seat] = office("seats")
    other = run_command("tx", "sign", str(file), "--key", office.key, "--yes", "--net", str(net.path))
    assert_one_sentence(other, 2, "is none of the 3 keys that may sign")
    for holder in holders[:2]:
        signed = cli("tx", "sign", file, "--key", holder, "--yes", *named)
        assert "pause all accounts until" in signed.stderr
    assert json.loads(cli("tx", "send", file, *named, "-o", "json").stdout)["outcome"] == "ok"
    with Client.from_net(net.path) as client:
        key = Key.open(net.net.accounts[0].key_file)
        with pytest.raises(Refused, match="paused"):
            client.put("k", "v", key=key)
        [pause] = client.governance()["pauses"]
        assert "account" not in pause
        # What the state has is proven.
        system = client.governance()["account"]
        who, gone = Subject(system, governance=True), Subject(system, proposal=1)
        proven = client.prove([who, gone])
        record = proven.items[who]
        assert isinstance(record, Mapping)
        assert (record["seats"][0]["authority_hash"], record["pauses"]) == (seat["authority_hash"], [pause])
        assert proven.items[gone] is None
        assert any(
            "operators' seats make a change" in one for one in sentences(client.verify_proof(proven.proof).facts)
        )
        file = tmp_path / "resume.json"
        cli("govern", "propose", "resume", "--unsigned", file, "--authority", authority, *named)
        # Offline, nothing but the chain is compared.
        for holder in holders[1:]:
            cli("tx", "sign", file, "--key", holder, "--offline", "--yes", *named)
        cli("tx", "send", file, *named)
        assert client.put("k", "v", key=key).receipt is not None
