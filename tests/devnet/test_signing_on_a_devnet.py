"""Files that are made, signed and sent on a devnet, from the command line and in Python."""

import json
from pathlib import Path

import pytest

from process_tools import assert_one_sentence, cli, run_command
from rustorium.client import Client, Key, SigningFile, operations
from rustorium.errors import Refused, UsageError
from rustorium.net.devnet import Devnet
from rustorium.types import Authority

pytestmark = pytest.mark.nodes


def test_a_file_goes_from_maker_to_signer_to_sender(devnet: Devnet, tmp_path: Path) -> None:
    owner, other = devnet.net.accounts[0], devnet.net.accounts[1]
    net, file = ["--net", devnet.path], tmp_path / "t.json"
    made = cli("tx", "put", "invoice/17", "paid", "--unsigned", file, "--account", owner.address, *net, "-o", "json")
    row = json.loads(made.stdout)
    assert (row["missing"], row["signed_by"]) == (1, [])
    assert_one_sentence(run_command("tx", "send", str(file), *map(str, net)), 2, "0 of the 1 signatures")
    wrong = run_command("tx", "sign", str(file), "--key", other.key_file, "--yes", *map(str, net))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "is none of the 1 keys that may sign" in wrong.stderr
    signed = json.loads(cli("tx", "sign", file, "--key", owner.key_file, "--yes", *net, "-o", "json").stdout)
    assert signed["missing"] == 0
    sent = json.loads(cli("tx", "send", file, *net, "-o", "json").stdout)
    assert (sent["id"], sent["outcome"]) == (row["id"], "ok")
    # The same file is the same transaction.
    again = json.loads(cli("tx", "send", file, *net, "-o", "json").stdout)
    assert again["height"] == sent["height"]
    used = run_command("tx", "sign", str(file), "--key", owner.key_file, "--yes", *map(str, net))
    assert "is used already" in used.stderr
    shown = json.loads(cli("query", "--account", owner.address, "invoice/17", *net, "-o", "json").stdout)
    assert shown[0]["value"] == "paid"


def test_any_operations_and_an_authority_file(devnet: Devnet, tmp_path: Path) -> None:
    owner, other = devnet.net.accounts[2], devnet.net.accounts[1]
    key = Key.open(owner.key_file)
    listed = [operations.put(owner.address, "a", "1"), operations.grant(other.address, ["a/"])]
    (tmp_path / "listed.json").write_text(json.dumps(listed))
    (tmp_path / "authority.json").write_text(json.dumps({"threshold": 1, "keys": [key.public_key]}))
    file, net = tmp_path / "t.json", ["--net", devnet.path]
    named = ["--unsigned", file, "--account", owner.address, "--authority", tmp_path / "authority.json"]
    cli("tx", "send", tmp_path / "listed.json", *named, "--valid-for", "10m", *net)
    cli("tx", "sign", file, "--key", owner.key_file, "--yes", *net)
    assert json.loads(cli("tx", "send", file, "--wait", "certified", *net, "-o", "json").stdout)["outcome"] == "ok"
    stranger = Key.generate()
    (tmp_path / "authority.json").write_text(json.dumps({"threshold": 1, "keys": [stranger.public_key]}))
    named[1] = tmp_path / "other.json"
    refused = run_command("tx", "send", str(tmp_path / "listed.json"), *map(str, (*named, *net)))
    assert_one_sentence(refused, 2, "its signatures would not count")
    assert not (tmp_path / "other.json").exists()


def test_in_python(devnet: Devnet) -> None:
    key, other = Key.open(devnet.net.accounts[3].key_file), Key.generate()
    with Client.from_net(devnet.path) as client:
        put = operations.put(key.address, "k", "by file")
        file = client.prepare([put], account=key.address)
        with pytest.raises(UsageError, match="its signatures would not count"):
            client.prepare([put], account=key.address, authority=Authority(1, [other.public_key]))
        done = client.send_file(client.sign_file(file, key=key), wait="certified")
        assert done.receipt is not None
        assert done.receipt.ok
        assert (done.id, done.endpoint) == (file.id, "")
        assert client.get(key.address, "k") == b"by file"
        status = client.get_transaction(file.id)
        assert status.proven
        assert status.transaction["version"] == 2
        # The client's own transactions go on after it.
        assert client.put("k", "alone", key=key).receipt is not None


def test_two_of_three_keys_act_for_their_account(devnet: Devnet, tmp_path: Path) -> None:
    keys = [Key.generate() for _ in range(3)]
    sponsor, net, office = devnet.net.accounts[0], ["--net", devnet.path], tmp_path / "office.json"
    made = cli("keys", "authority", "new", office, *(key.public_key for key in keys), "--threshold", 2, "-o", "json")
    address, digest = (json.loads(made.stdout)[name] for name in ("address", "authority_hash"))
    created = cli("account", "create", office, "--storage-bytes", 5_000, "--key", sponsor.key_file, *net, "-o", "json")
    assert json.loads(created.stdout)["address"] == address
    shown = json.loads(cli("keys", "authority", "show", address, *net, "-o", "json").stdout)
    assert (shown["authority_hash"], shown["keys"]) == (digest, None)
    alone = json.loads(cli("keys", "authority", "show", sponsor.address, *net, "-o", "json").stdout)
    assert (alone["threshold"], alone["keys"]) == (1, [Key.open(sponsor.key_file).public_key])
    file = tmp_path / "t.json"
    cli("tx", "put", "a", "1", "--unsigned", file, "--account", address, "--authority", office, *net)
    with Client.from_net(devnet.path) as client:
        empty = SigningFile.read(file)
        one, other = client.sign_file(empty, key=keys[0]), client.sign_file(empty, key=keys[2])
        with pytest.raises(UsageError, match="have 1 of these keys sign it"):
            client.send_file(one)
        copies = [tmp_path / "one.json", tmp_path / "other.json"]
        one.replace(copies[0])
        other.replace(copies[1])
        cli("tx", "combine", *copies, "--out", tmp_path / "both.json")
        both = SigningFile.read(tmp_path / "both.json")
        done = client.send_file(both, wait="certified")
        assert done.receipt is not None
        assert done.receipt.ok
        assert client.get(address, "a") == b"1"
        # The keys change, and from then on the former ones sign nothing.
        former, next_ = Authority(2, [key.public_key for key in keys]), Authority(1, [keys[1].public_key])
        change = client.prepare([operations.set_authority(next_)], account=address, authority=former)
        changed = client.send_file(change.sign(keys[0]).sign(keys[1]))
        assert changed.receipt is not None
        assert changed.receipt.ok
        put = [operations.put(address, "a", "2")]
        with pytest.raises(UsageError, match="its signatures would not count"):
            client.prepare(put, account=address, authority=former)
        late = SigningFile.build(both.chain, former, address, 2, both.expires_at_ms, put)
        with pytest.raises(UsageError, match="its signatures would not count"):
            client.sign_file(late, key=keys[0])
        with pytest.raises(Refused):
            client.send_file(late.sign(keys[0]).sign(keys[2]))
        now = client.send_file(client.sign_file(client.prepare(put, account=address), key=keys[1]))
        assert now.receipt is not None
        assert now.receipt.ok


def test_a_grant_of_one_kind_of_writes(devnet: Devnet) -> None:
    owner, guest = devnet.net.accounts[1], devnet.net.accounts[2]
    net = ["--net", devnet.path]
    granted = cli(
        "tx", "grant", guest.address, "log/", "--rights", "put", "--until", "30d", "--key", owner.key_file, *net
    )
    assert "ok" in granted.stdout
    write = ["--namespace", owner.address, "--key", guest.key_file, *net]
    cli("tx", "put", "log/1", "x", *write)
    refused = run_command("tx", "delete", "log/1", *map(str, write))
    assert_one_sentence(refused, 1, "not-allowed")
    cli("tx", "revoke", guest.address, "--key", owner.key_file, *net)
    assert_one_sentence(run_command("tx", "put", "log/2", "x", *map(str, write)), 1, "not-allowed")
