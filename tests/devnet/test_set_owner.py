"""A devnet's validator gets another owner: by its owner, and by the operators if the owner's key is gone."""

import json
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_one_sentence, cli, run_command, wait_for
from rustorium.client import Client, Key
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes


def test_an_owner_sets_another_and_operators_do_where_it_is_lost(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory()
    named = ["--net", net.path, "-o", "json"]
    owners, operator = net.root / "owners", str(net.net.accounts[0].key_file)
    # Any key may become an owner's; it needs no account.
    new, later = (net.net.accounts[number].key_file for number in (2, 3))

    def owner(client: Client) -> Any:
        return next(one for one in client.governance()["owners"] if one["name"] == "node-1")

    with Client.from_net(net.path) as client:
        before = owner(client)
        assert (before["number"], before["nonce"], before["changed"]) == (1, 0, False)
        wrong = run_command("node", "set-owner", "node-1", "--owner-key", str(owners / "node-0.key"),
                            "--new-owner-key", str(new), "--net", str(net.path))  # fmt: skip
        assert_one_sentence(wrong, 2, "isn't that of the validator's owner")
        signed = ["--owner-key", owners / "node-1.key", "--new-owner-key", new]
        epoch = client.validators()["epoch"]
        done = json.loads(cli("node", "set-owner", "node-1", *signed, *named).stdout)
        assert (done["owner_key"], done["new_owner_key"]) == (before["owner_key"], Key.open(new).public_key)
        wait_for("the next epoch", lambda: client.validators()["epoch"] > epoch)
        assert client.validators()["validators"][1]["owner_key"] == done["new_owner_key"]
        # Light clients follow, since the committee's hash has the owner's key.
        key = Key.open(net.net.accounts[1].key_file)
        assert client.put("k", "v", key=key, wait="certified").proof is not None
        assert client.catch_up()["epoch"] >= epoch + 1
        # The key that is lost: its owner has the operators set another one.
        file, epoch = tmp_path / "owner.json", client.validators()["epoch"]
        cli("node", "set-owner", str(before["number"]), "--new-owner-key", later, "--out", file, *named)
        made = json.loads(cli("govern", "propose", "change", file, "--key", operator, *named).stdout)
        assert made["outcome"] == "ok"
        wait_for("the next epoch", lambda: client.validators()["epoch"] > epoch)
        after = owner(client)
        assert (after["owner_key"], after["nonce"], after["changed"]) == (Key.open(later).public_key, 1, False)
        again = run_command("node", "set-owner", "node-1", "--owner-key", str(later), "--new-owner-key", str(new),
                            "--net", str(net.path))  # fmt: skip
        assert "key-retired" in again.stderr
