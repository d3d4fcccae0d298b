"""`audit`: shows the log, finds and names any change to it, and exports a copy for an auditor."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.access.passphrases import find_passphrase
from rustorium.cli.options import TrustOptions
from rustorium.client import Key
from rustorium.home.auditlog import check, log_of
from rustorium.home.paths import Home
from rustorium.types import At, HistoryPage, Value, Version

LINES = 16


@pytest.fixture
def home(cli: Cli, tmp_path: Path, passphrase: Path) -> Home:
    """A home whose node has recorded some events."""
    path = tmp_path / "home"
    assert cli("init", "--home", path, "--peer", "node-1=127.0.0.1:1", "--passphrase-file", passphrase).code == 0
    home = Home(path)
    seed = _native.open_key(str(home.node_key), "node", find_passphrase(home.node_key, passphrase, {}))
    for number in range(LINES):
        event = "peer refused" if number % 4 else "start"
        _native.audit_record(str(path / "audit"), seed, event, json.dumps({"number": number, "peer": "n" * number}))
    return home


def verified(cli: Cli, home: Home, *more: str) -> dict[str, object]:
    ended = cli("audit", "verify", "--home", home.path, "-o", "json", *more)
    assert ended.code == 0, ended
    return dict(json.loads(ended.out))


def node_key(home: Home) -> str:
    return str(json.loads(home.node_key.read_text())["public"])


def test_the_table_says_who_signed_what_was_verified(cli: Cli, home: Home) -> None:
    first = cli("audit", "verify", "--home", home.path).out.splitlines()[0]
    assert first == f"VERIFIED: {LINES} lines, each signed by the node key {node_key(home)}"


def test_operators_decisions_are_shown_in_words(cli: Cli, home: Home, passphrase: Path) -> None:
    seed = _native.open_key(str(home.node_key), "node", find_passphrase(home.node_key, passphrase, {}))
    by = {"seat": 1, "transaction": "cd" * 32}
    change = {"number": 7, "change": "pause", "hash": "ab" * 32}
    until = {"until_ms": 1_800_000_000_000}
    acts = [
        by | change | until | {"act": "proposed"},
        by | {"act": "approved", "number": 7, "hash": "ab" * 32},
        by | {"act": "withdrawn", "number": 7, "ended": True},
        by | change | until | {"act": "paused", "account": "rs1x"},
        by | change | {"act": "resumed", "change": "resume"},
        by | change | {"act": "made", "change": "end_epoch"},
        by | {"act": "keys-changed", "authority_hash": "ef" * 32},
        {"act": "wished", "validator": 2, **change, "change": "set_operators"},
        {"act": "replaced", "validator": 3, **change, "change": "set_operators", "from_ms": 1_800_000_000_000},
        {"act": "in-force", "epoch": 8, "change": "parameters", "version": 2, "parameters": "aa" * 32},
        {"act": "in-force", "epoch": 9, "change": "version", "version": 3},
    ]
    fields = {"height": 12, "time_ms": 5, "part": 0, "acts": acts}
    _native.audit_record(str(home.path / "audit"), seed, "governance", json.dumps(fields))
    shown = json.loads(cli("audit", "show", "--home", home.path, "--event", "governance", "-o", "json").out)
    assert [line["fields"] for line in shown] == [fields], "programs get the fields"
    lines = [" ".join(line.split()) for line in cli("audit", "show", "--home", home.path, "--last", 1).out.splitlines()]
    said = [line.partition("height 12: ")[2] for line in lines[1:]]
    assert said == [
        f"seat 1 made proposal 7, pause {'ab' * 32}, open until 2027-01-15T08:00:00Z",
        f"seat 1 approved proposal 7, change {'ab' * 32}",
        "seat 1 took its approval of proposal 7 back, which ended it",
        f"seat 1 decided proposal 7, pause {'ab' * 32}: the account rs1x paused until 2027-01-15T08:00:00Z",
        f"seat 1 decided proposal 7, resume {'ab' * 32}: the pause of all accounts is over",
        f"seat 1 decided proposal 7, end_epoch {'ab' * 32}: the change is made",
        f"seat 1 has other keys: the authority {'ef' * 32}",
        f"the owner of validator 2 wishes other operators, set_operators {'ab' * 32}",
        f"the owner of validator 3 wishes other operators, set_operators {'ab' * 32}: they govern from "
        "2027-01-15T08:00:00Z on",
        f"epoch 8 begins with other parameters, hash {'aa' * 32}",
        "epoch 9 begins with protocol version 3",
    ]
    _native.audit_record(
        str(home.path / "audit"), seed, "governance", json.dumps({"acts": [{"act": "of a later release"}]})
    )
    assert "of a later release" in cli("audit", "show", "--home", home.path, "--last", 1).out


def test_events_are_shown_by_name_and_the_newest_alone(cli: Cli, home: Home) -> None:
    every = json.loads(cli("audit", "show", "--home", home.path, "-o", "json").out)
    assert [line["seq"] for line in every] == list(range(1, LINES + 1))
    starts = json.loads(cli("audit", "show", "--home", home.path, "--event", "start", "--last", "2", "-o", "json").out)
    assert [line["fields"]["number"] for line in starts] == [8, 12]
    table = cli("audit", "show", "--home", home.path, "--last", "1").out
    assert "peer refused" in table
    assert table.splitlines()[0].split() == ["seq", "time", "event", "fields"]


def test_an_empty_log_is_not_called_verified(cli: Cli, home: Home) -> None:
    log_of(home).write_bytes(b"")
    cli("audit", "verify", "--home", home.path).fails(4, "is empty, so it shows nothing", "[audit-refused]")


def test_without_an_anchor_it_says_that_the_end_may_be_missing(cli: Cli, home: Home) -> None:
    head = str(verified(cli, home)["head"])
    assert "cut off the end are not noticed" in cli("audit", "verify", "--home", home.path).err
    assert "cut off" not in cli("audit", "verify", "--home", home.path, "--anchor", head).err


def test_options_about_the_ledger_are_not_ignored(cli: Cli, home: Home, tmp_path: Path) -> None:
    for option, value in (("--genesis", tmp_path / "other.json"), ("--net", tmp_path / "n"), ("--node", "http://a:1")):
        cli("audit", "verify", "--home", home.path, option, value).fails(2, "add --account", "[usage]")


def test_missing_last_lines_are_found_with_a_stored_head(cli: Cli, home: Home) -> None:
    head = str(verified(cli, home)["head"])
    assert verified(cli, home, "--anchor", head)["lines"] == LINES
    log = log_of(home)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-3]))
    assert verified(cli, home)["lines"] == LINES - 3
    refused = cli("audit", "verify", "--home", home.path, "--anchor", head)
    refused.fails(4, f"line {LINES - 2} ", "missing", "[audit-refused]")


def test_an_exported_log_is_checked_only_with_the_nodes_key(cli: Cli, home: Home, tmp_path: Path) -> None:
    out = tmp_path / "for-the-auditor.jsonl"
    exported = json.loads(cli("audit", "export", out, "--home", home.path, "-o", "json").out)
    assert exported["node_key"] == node_key(home)
    ended = cli("audit", "verify", out, "--node-key", node_key(home), "-o", "json")
    assert json.loads(ended.out)["head"] == exported["head"] == verified(cli, home)["head"]
    cli("audit", "export", out, "--home", home.path).fails(2, "never overwritten", "[file-exists]")
    cli("audit", "verify", out, "--node-key", "11" * 32).fails(4, "line 1 ", "not by this node's key")


def test_the_key_of_a_validator_is_found_in_the_genesis(cli: Cli, home: Home, tmp_path: Path) -> None:
    proofs = json.loads((Path(__file__).parents[1] / "vectors" / "proofs.json").read_text())
    genesis = json.loads(_native.genesis_describe(bytes.fromhex(proofs["cases"][0]["genesis"])))
    validators = genesis["validators"]
    validators[0]["node_key"] = node_key(home)
    file = tmp_path / "genesis.json"
    file.write_text(json.dumps(genesis))
    known = ("--genesis", file, "--node-key")
    ended = cli("audit", "verify", log_of(home), *known, validators[0]["name"], "-o", "json")
    assert json.loads(ended.out)["head"] == verified(cli, home)["head"]
    cli("audit", "verify", log_of(home), *known, validators[1]["name"]).fails(4, "not by this node's key")
    cli("audit", "verify", log_of(home), *known, "nobody").fails(2, "has no validator 'nobody'")
    cli("audit", "verify", "--home", home.path, "--genesis", file).fails(2, "are for the anchor in the ledger")


def tampered(rng: random.Random, lines: list[bytes]) -> tuple[list[bytes], int]:
    """Returns a changed log, and the number of the first changed line."""
    kind, at = rng.choice(["edit", "delete", "swap", "repeat", "splice", "cut"]), rng.randrange(len(lines) - 1)
    if kind == "edit":
        line = bytearray(lines[at])
        line[rng.randrange(len(line) - 1)] ^= 1 << rng.randrange(7)
        return [*lines[:at], bytes(line), *lines[at + 1 :]], at + 1
    if kind == "delete":
        return lines[:at] + lines[at + 1 :], at + 1
    if kind == "swap":
        return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]], at + 1
    if kind == "repeat":
        return [*lines[: at + 1], lines[at], *lines[at + 1 :]], at + 2
    if kind == "splice":
        other = rng.choice([place for place in range(len(lines)) if place != at])
        return [*lines[:at], lines[other], *lines[at + 1 :]], at + 1
    return [*lines[:at], lines[at][: rng.randrange(1, len(lines[at]))]], at + 1


def test_ten_thousand_changes_are_all_found_and_placed(home: Home, tmp_path: Path) -> None:
    lines = log_of(home).read_bytes().splitlines(keepends=True)
    key, rng, log = bytes.fromhex(node_key(home)), random.Random(7), tmp_path / "changed.jsonl"
    for _ in range(10_000):
        changed, first = tampered(rng, lines)
        log.write_bytes(b"".join(changed))
        with pytest.raises(_native.NativeError) as refused:
            check(log, key)
        assert refused.value.code == "audit-refused"
        assert f"line {first} of the audit log" in str(refused.value), refused.value


class Ledger:
    """A fake client and net that store what accounts put."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, bytes], bytes] = {}
        self.versions: list[Version] = []
        """The versions that the nodes list, newest first."""
        self.witnesses: list[str] = []

    def history(self, account: str, name: bytes, *, limit: int) -> HistoryPage:
        return HistoryPage(tuple(self.versions[:limit]), None, 0, At(7, "ab" * 32, proven=True))

    @contextmanager
    def client(self, *_: object, token_file: Path | None, trust: TrustOptions | None = None) -> Iterator["Ledger"]:
        self.witnesses = list(trust.witnesses) if trust is not None else []
        yield self

    def put(self, name: bytes, value: bytes, *, key: Key) -> SimpleNamespace:
        self.values[key.address, name] = value
        return SimpleNamespace(id="ab" * 32)

    def read(self, account: str, name: bytes, *, at: str) -> Value:
        assert at == "proven"
        return Value(account, name, self.values.get((account, name)), At(7, "ab" * 32, proven=True))


def test_an_anchor_in_the_ledger_shows_missing_lines(
    cli: Cli, home: Home, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    monkeypatch.setattr("rustorium.cli.audit.client_of", ledger.client)
    file, passed = tmp_path / "operator.key", ("--passphrase-file", passphrase)
    account = json.loads(cli("keys", "new", file, *passed, "-o", "json").out)["address"]
    verify = ("audit", "verify", "--home", home.path, "--account", account)
    anchor = ("audit", "anchor", "--home", home.path, "--key", file, *passed)
    cli(*verify).fails(3, "has not anchored an audit log of this node")
    made = json.loads(cli(*anchor, "-o", "json").out)
    assert (made["head"], made["account"]) == (verified(cli, home)["head"], account)
    assert list(ledger.values) == [(account, b"rustorium/audit/" + node_key(home).encode())]
    assert verified(cli, home, "--account", account)["anchor"] == made["head"]
    whole = log_of(home).read_bytes()
    log_of(home).write_bytes(b"".join(whole.splitlines(keepends=True)[:-3]))
    assert verified(cli, home)["lines"] == LINES - 3, "by itself it looks whole"
    cli(*verify).fails(4, f"line {LINES - 2} ", "missing", "[audit-refused]")
    cli(*anchor).fails(4, "missing")
    assert ledger.values.popitem()[1] == made["head"].encode(), "an older anchor isn't replaced by one that hides"
    log_of(home).write_bytes(whole)
    assert json.loads(cli(*anchor, "-o", "json").out)["head"] == made["head"]
    for name in list(ledger.values):
        ledger.values[name] = b"\xff"
    cli(*verify).fails(4, "anchor it again")
    cli(*verify, "--anchor", made["head"]).fails(2, "give only one of them")
    log_of(home).write_bytes(b"")
    ledger.values.clear()
    cli(*anchor).fails(2, "nothing to anchor yet")


def test_an_old_anchor_is_shown_as_old_and_refused_if_it_may_not_be(
    cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms, ledger = 1_800_000_000_000, Ledger()
    monkeypatch.setattr("rustorium.cli.audit.client_of", ledger.client)
    monkeypatch.setattr("time.time_ns", lambda: now_ms * 1_000_000)
    account, name = "rs1someone", b"rustorium/audit/" + node_key(home).encode()
    # The head of some days ago: lines were written since then, and have been cut off again.
    old = str(verified(cli, home)["head"])
    ledger.values[account, name] = old.encode()
    written_ms = now_ms - 3 * 86_400_000
    newer = Version(9, b"99:" + b"ab" * 32, now_ms, "cd" * 32, proven=True)
    ledger.versions = [newer, Version(7, old.encode(), written_ms, "cd" * 32, proven=True)]
    verify = ("audit", "verify", "--home", home.path, "--account", account)
    shown = cli(*verify, "--witness", "http://other:1", "-o", "json")
    assert (shown.code, json.loads(shown.out)["anchored_ms"], ledger.witnesses) == (0, written_ms, ["http://other:1"])
    assert f"covers the first {LINES} of {LINES} lines, and was written 3 days ago" in shown.err
    assert cli(*verify, "--max-age", "4d").code == 0
    cli(*verify, "--max-age", "2d").fails(4, "3 days old", "anchor the log again", "[anchor-too-old]")
    # A time is believed only if it is proven, and of this anchor.
    unproven = replace(ledger.versions[1], proven=False)
    for versions in ([], [newer], [unproven], [replace(ledger.versions[1], value=None)]):
        ledger.versions = versions
        assert json.loads(cli(*verify, "-o", "json").out)["anchored_ms"] is None
        cli(*verify, "--max-age", "9d").fails(4, "proves when the anchor was written", "[anchor-too-old]")
    for option, value in (("--max-age", "1d"), ("--witness", "http://other:1")):
        cli("audit", "verify", "--home", home.path, "--anchor", old, option, value).fails(2, "add --account", "[usage]")


def test_bad_input_gets_one_sentence(cli: Cli, home: Home, tmp_path: Path) -> None:
    cli("audit", "verify", "--home", home.path, "--anchor", "7").fails(2, "`7` is not the head of an audit log")
    cli("audit", "verify", "--home", home.path, "--node-key", "zz").fails(2, "`zz` is not a node key")
    cli("audit", "verify", log_of(home)).fails(2, "needs --node-key")
    cli("audit", "verify", tmp_path / "none", "--node-key", "11" * 32).fails(3, "can't be read")
    cli("audit", "show", "--home", tmp_path).fails(3, "there is no audit log")
    log_of(home).write_bytes(b"[" * 50_000 + b"\n")
    cli("audit", "show", "--home", home.path).fails(1, "line 1 of", "is not an audit line")
