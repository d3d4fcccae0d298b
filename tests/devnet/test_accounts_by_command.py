"""Accounts, grants, assets and any operations from the command line, without Python."""

import json
from pathlib import Path
from typing import Any

import pytest

from process_tools import assert_one_sentence, cli, run_command
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes


class Ledger:
    """Runs commands on one net."""

    def __init__(self, net: Devnet, folder: Path) -> None:
        self.net, self.folder = net, folder
        self.secret = folder / "secret"
        self.secret.write_text("a passphrase for tests")
        self.secret.chmod(0o600)

    def __call__(self, *words: object, key: Path | str | None = None) -> Any:
        return json.loads(cli(*words, *self._more(key), "-o", "json").stdout)

    def refused(self, code: int, *words: object, key: Path | str, says: str) -> None:
        assert_one_sentence(run_command(*map(str, (*words, *self._more(key)))), code, says)

    def new_key(self, name: str) -> tuple[Path, str]:
        file = self.folder / name
        made = json.loads(cli("keys", "new", file, "--passphrase-file", self.secret, "-o", "json").stdout)
        (self.folder / f"{name}.json").write_text(json.dumps(made))
        return file, made["address"]

    def signed(self, key: Path | str) -> list[object]:
        return self._more(key)

    def _more(self, key: Path | str | None) -> list[object]:
        own = key is not None and Path(key).parent == self.folder
        passphrase = ["--passphrase-file", self.secret] if own else []
        return ["--net", self.net.path, *(["--key", key] if key is not None else []), *passphrase]


@pytest.fixture
def ledger(devnet: Devnet, tmp_path: Path) -> Ledger:
    return Ledger(devnet, tmp_path)


def test_an_account_from_the_command_line(ledger: Ledger) -> None:
    sponsor = ledger.net.net.accounts[0]
    file, address = ledger.new_key("alice.key")
    ledger.refused(3, "tx", "put", "a", "1", key=file, says="account create")
    made = ledger("account", "create", file, "--storage-bytes", 5_000, key=sponsor.key_file)
    assert (made["address"], made["outcome"]) == (address, "ok")
    assert ledger("tx", "put", "a", "1", key=file)["outcome"] == "ok"
    assert ledger("query", "--account", address, "a")[0]["value"] == "1"
    assert ledger("tx", "delete", "a", key=file)["outcome"] == "ok"
    # For another party's key, the output of `keys new` is enough.
    _, other = ledger.new_key("bob.key")
    made = ledger("account", "create", ledger.folder / "bob.key.json", key=sponsor.key_file)
    assert made["address"] == other
    assert ledger("query", "--account", other)[0]["nonce"] == 0


def test_many_keys_from_a_file(ledger: Ledger) -> None:
    account = ledger.net.net.accounts[2]
    file = ledger.folder / "many.json"
    file.write_text(json.dumps({f"many/{number}": str(number) for number in range(600)}))
    done = ledger("tx", "put-many", file, key=account.key_file)
    assert done == {"keys": 600, "set": 600, "transactions": 3}
    assert ledger("query", "--account", account.address, "many/599")[0]["value"] == "599"
    other = ledger.net.net.accounts[1].address
    refused = ("tx", "put-many", file, "--namespace", other)
    ledger.refused(1, *refused, key=account.key_file, says="not-allowed")
    for content in ("[]", '{"a": 1}', "{"):
        file.write_text(content)
        ledger.refused(2, "tx", "put-many", file, key=account.key_file, says="write an object")


def test_grants_are_given_and_taken_back(ledger: Ledger) -> None:
    owner, guest = ledger.net.net.accounts[0], ledger.net.net.accounts[1]
    write = ("tx", "put", "shared/x", "1", "--namespace", owner.address)
    ledger.refused(1, *write, key=guest.key_file, says="failed at operation 0")
    assert ledger("tx", "grant", guest.address, "shared/", key=owner.key_file)["outcome"] == "ok"
    assert ledger(*write, key=guest.key_file)["outcome"] == "ok"
    assert ledger("tx", "revoke", guest.address, key=owner.key_file)["outcome"] == "ok"
    ledger.refused(1, *write, key=guest.key_file, says="failed at operation 0")
    ledger.refused(2, "tx", "grant", guest.address, "", key=owner.key_file, says="whole namespace")


def test_an_asset_is_issued_and_any_operations_are_sent(ledger: Ledger) -> None:
    issuer, holder = ledger.net.net.accounts[0], ledger.net.net.accounts[1]
    issued = ledger("tx", "issue", "GOLD", "500", key=issuer.key_file)
    asset = issued["asset"]
    operations = [
        {"type": "transfer", "to": holder.address, "asset": asset, "amount": "200"},
        {"type": "put", "namespace": issuer.address, "key": "deal", "value": "done"},
    ]
    file = ledger.folder / "deal.json"
    file.write_text(json.dumps(operations))
    assert ledger("tx", "send", file, key=issuer.key_file)["outcome"] == "ok"
    assert ledger("query", "--account", holder.address, "--asset", asset)[0]["amount"] == "200"
    assert ledger("query", "--account", issuer.address, "deal")[0]["value"] == "done"
    file.write_text("[]")
    ledger.refused(2, "tx", "send", file, key=issuer.key_file, says="has no operations")
    file.write_text(json.dumps({"type": "nonsense"}))
    ledger.refused(2, "tx", "send", file, key=issuer.key_file, says="can't be made")


def assert_signed(signers: dict[str, Any], validators: list[str]) -> None:
    """Checks that a quorum of these validators is named, each once and in order."""
    names = signers["names"]
    assert (signers["validators"], signers["by_owners"]) == (len(validators), False)
    assert 3 <= len(names) <= 4
    assert names == [name for name in validators if name in names]


def test_a_transaction_is_proven_and_its_proof_is_kept(ledger: Ledger) -> None:
    account = ledger.net.net.accounts[0]
    done = ledger("tx", "put", "proved", "1", "--wait", "certified", key=account.key_file)
    proof = ledger.folder / "proof.json"
    status = ledger("tx", "status", done["id"], "--proof-out", proof)
    assert (status["state"], status["certified"], status["proven"]) == ("final", True, True)
    names = [node.name for node in ledger.net.net.nodes]
    assert_signed(status["signed_by"], names)
    shown = json.loads(cli("verify", proof, "--genesis", ledger.net.net.genesis, "-o", "json").stdout)
    assert (shown["kind"], shown["receipt"]["id"]) == ("transaction", done["id"])
    assert_signed(shown["signed_by"], names)
    said = cli("verify", proof, "--genesis", ledger.net.net.genesis).stdout
    signers = ", ".join(shown["signed_by"]["names"])
    assert said.startswith(
        f"VERIFIED: signed by {len(shown['signed_by']['names'])} of 4 validators: {signers} (epoch 0 "
    )
    assert f"of chain {ledger.net.net.chain}" in said
    shown = cli("tx", "put", "proved", "2", "--wait", "certified", *ledger.signed(account.key_file)).stdout
    assert "--proof-out FILE" in shown
    assert max(map(len, shown.splitlines())) < 200, "a table has no page of hex digits"
    block = ledger.folder / "block.json"
    assert_signed(ledger("block", "show", done["height"], "--proof-out", block)["signed_by"], names)
    (row,) = ledger("query", "--account", account.address, "proved")
    assert_signed(row["signed_by"], names)
    unchecked = ledger("query", "--account", account.address, "proved", "--no-verify")
    assert [one["signed_by"] for one in unchecked] == [None]
    shown = json.loads(cli("verify", block, "--genesis", ledger.net.net.genesis, "-o", "json").stdout)
    assert shown["header"]["height"] == done["height"]
    url = ledger.net.net.nodes[0].http
    said = cli("tx", "status", done["id"], "--node", url)
    assert "on the node's word: add --genesis FILE" in said.stderr
