"""Inputs that an attacker may have written, by name: the reader of each, and a valid input.

Invariants: a reader raises only our typed errors, whatever its input; a valid input raises none.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trio.testing
from hostile_files import put
from hostile_log import log_cases
from hostile_stream import read_stream, stream_bytes

from admin_tools import FakeNode
from rustorium.access.netfile import Net, NetAccount, NetNode, read_net
from rustorium.client import Key, SigningFile, listing, operations, wire
from rustorium.client.events import place
from rustorium.client.prooffile import (
    ForkFile,
    checkpoint_to_bytes,
    parse,
    parse_checkpoint,
    parse_fork,
    parse_trust,
    trust_to_bytes,
)
from rustorium.config import load, render
from rustorium.errors import RustoriumError
from rustorium.home.format import FILE, record, require_current
from rustorium.home.paths import Home
from rustorium.home.tokens import Role, Scope, issue
from rustorium.home.tokens import load as load_tokens
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.node.admin.calls import socket_owner
from rustorium.node.admin.http import arguments_of
from rustorium.node.admin.remote import said
from rustorium.node.admin.socket import AdminServer
from rustorium.node.admin.tokenwork import fields_of, parse_token_request
from rustorium.node.recovery.state import RecoveryState, last_end, supervisor_state
from rustorium.types import Authority

Read = Callable[[bytes], object]


def config_text() -> bytes:
    text = """
    [node]
    name = "node-0"
    [p2p]
    listen = "127.0.0.1:26650"
    followers_max = 4
    followers = ["abababababababababababababababababababababababababababababababab"]
    [p2p.peers]
    "node-1" = "[::1]:26650"
    [storage]
    keep = 5000
    [shaper]
    regions = ["a", "b"]
    """
    return text.encode()


def read_config(content: bytes) -> None:
    """Reads a configuration, and checks that writing and reading it again gives the same one."""
    config = load(content.decode(errors="replace")).config
    assert load(render(config)).config == config


def read_environment(content: bytes) -> None:
    name, _, value = content.decode(errors="replace").partition("=")
    load(None, {name: value})


def net_file(folder: Path) -> bytes:
    node = NetNode("n", 0, "local", "http://h", "h:1", "http://m", "h:2", 7, "/home")
    Net("ab", "/genesis.json", "net", "cd", [node], [NetAccount("rs1", "/key")]).write(folder / "devnet.json")
    return (folder / "devnet.json").read_bytes()


def proof_file() -> bytes:
    fields = {"format": "rustorium-proof", "version": 1, "kind": "read", "chain": "ab", "facts": {"x": 1}}
    return json.dumps(fields | {"epochs": ["00ff"], "proof": "0102"}).encode()


# ---- a node's answers ------------------------------------------------------------------------------------------------

RECEIPT = {
    "id": "aa", "sender": "rs1", "nonce": 1, "height": 2, "index": 0, "time_ms": 5, "work": 9, "outcome": "failed",
    "failure": {"code": "precondition", "operation": 0},
}  # fmt: skip
PLACE = {"height": 1, "root": "ab", "shard": 0}
STATUS = {
    "node": "n", "chain": "ab", "height": 1, "view": 2, "epoch": 0, "at": PLACE, "claimed": {"height": 1, "root": "ab"},
    "peers_up": 3, "pool_transactions": 0, "durability": "vote", "ready": True, "not_ready_because": None,
    "unreachable": ["m"], "role": "validator", "key_retired_because": None, "filling": None,
    "evidence": [{"validator": 1, "name": "m", "kind": "votes", "first": "ab", "count": 2}],
    "findings": [{"code": "disk-low", "severity": "degraded", "evidence": "e", "advice": "a", "since_ms": 3}],
}  # fmt: skip
HEADER = {
    "height": 1, "view": 2, "parent": "ab", "proposer": 0, "time_ms": 5, "transactions": 1, "result": {"height": 0},
}  # fmt: skip
VALIDATOR = {"name": "n", "validator_key": "ab", "region": 0, "address": "h:1"}
PROBLEM = {"code": "busy", "title": "Busy", "detail": "It is full.", "retry_after_ms": 7, "oldest": 1, "nearest": 2}
ANSWERS: Mapping[str, tuple[Callable[[Any], object], object]] = {
    "submitted": (
        partial(wire.submitted, shard=0),
        {"status": "certified", "id": "aa", "receipt": RECEIPT, "proof_hex": "00"},
    ),
    "refused": (
        partial(wire.submitted, shard=0),
        {"status": "refused", "message": "m.", "code": "busy", "retry_after_ms": 7},
    ),
    "transaction": (
        wire.transaction_status,
        {"status": "final", "id": "aa", "receipt": RECEIPT, "transaction": {}, "at": PLACE},
    ),
    "account": (
        wire.account,
        {"account": "rs1", "nonce": 1, "public_key": "ab", "quota_left": 3, "storage_bytes_left": 4, "at": PLACE},
    ),
    "account of several keys": (
        wire.account,
        {"account": "rs1", "nonce": 1, "authority_hash": "ab", "quota_left": 3, "storage_bytes_left": 4, "at": PLACE},
    ),
    "next nonce": (
        wire.next_nonce,
        {
            "account": "rs1",
            "nonce": 1,
            "public_key": "ab",
            "quota_left": 3,
            "storage_bytes_left": 4,
            "protocol": 2,
            "at": PLACE,
        },
    ),
    "rules in force": (
        wire.in_force,
        {"version": 1, "parameters": {}, "in_force": {"version": 2, "since_epoch": 3, "parameters": {"a": 1}}},
    ),
    "value": (wire.value, {"namespace": "rs1", "key_hex": "00", "value_hex": "ff", "at": PLACE}),
    "balance": (wire.balance, {"account": "rs1", "asset": "ab", "balance": "12345678901234567890", "at": PLACE}),
    "block": (wire.block, {"header": HEADER, "digest": "ab", "at": PLACE, "block_hex": "00", "proof_hex": "01"}),
    "proof": (wire.proof, {"proof_hex": "00ff"}),
    "epoch changes": (wire.epoch_changes, {"changes": [{"change_hex": "00"}, {"change_hex": "ff"}]}),
    "committee": (wire.committee, {"epoch": 3, "validators": [VALIDATOR]}),
    "status": (wire.node_status, STATUS),
    "key page": (
        listing._page,
        {
            "keys": [{"key_hex": "00", "value_bytes": 1, "value_hash": "ab", "value_hex": "ff"}],
            "next": "c",
            "at": PLACE,
        },
    ),
    "problem": (lambda body: [wire.problem(status, body) for status in (400, 404, 429, 500, 503)], PROBLEM),
}


def answer_case(name: str, _: Path) -> tuple[Read, bytes]:
    reader, good = ANSWERS[name]
    wire.parse(reader, good)

    def read(content: bytes) -> None:
        answer = wire.decoded(content)
        if name == "problem":
            reader(answer)  # it turns any input into a typed error
        else:
            wire.parse(reader, answer)

    return read, json.dumps(good).encode()


# ---- the admin plane and the files of a home -------------------------------------------------------------------------


def read_admin_line(content: bytes) -> None:
    """Reads one line of the admin socket: every answer is JSON."""
    line = content.replace(b"\n", b" ")

    async def main() -> None:
        server = AdminServer(Path("unused"), FakeNode(), lambda _reason: None)
        answer = server.answer(line, socket_owner(0, 1))
        assert isinstance(json.loads(json.dumps(answer)), dict)
        assert server.plane.trail is not None

    trio.run(main, clock=trio.testing.MockClock())


def read_admin_body(content: bytes) -> None:
    """Reads a call's body, and the request for a token in it."""
    arguments = arguments_of(content)
    json.dumps(fields_of(arguments))
    parse_token_request(arguments)


def read_admin_answer(content: bytes) -> None:
    """Reads a remote node's answer as a command does."""
    for status in (200, 409):
        try:
            said(status, content)
        except (ValueError, RustoriumError):
            continue


TOKEN_ORDER = {"op": "create_token", "name": "ops", "role": "operate", "gateway": "submit", "expires_in_ms": 1000}
REFUSAL = {"code": "busy", "detail": "too often", "retry_after_ms": 7}


def tokens_case(folder: Path) -> tuple[Read, bytes]:
    path = folder / "tokens.json"
    issue(path, "ops", Role.operate, Scope.submit, 1_900_000_000_000, 1_800_000_000_000)

    def read(content: bytes) -> object:
        put(path, content)
        return load_tokens(path)

    return read, path.read_bytes()


def records_case(folder: Path) -> tuple[Read, bytes]:
    """Reads both records in `run/` as `status check` and `recover auto` do."""
    home = Home(folder)
    home.recovery.parent.mkdir()
    act = {"at_ms": 1, "act": "refill", "why": "w", "undo": "", "code": "store-corrupt", "evidence": "e"}
    good = json.dumps(
        {"state": "asks", "pid": 1, "at_ms": 2, "reason": "r", "acts": [act], "code": "c", "evidence": "e"}
    )

    def read(content: bytes) -> None:
        put(home.recovery, content)
        put(home.ended, content)
        supervisor_state(home)
        last_end(home)
        RecoveryState(home).history()

    read(good.encode())
    assert RecoveryState(home).acts == [act]
    return read, good.encode()


def format_case(folder: Path) -> tuple[Read, bytes]:
    home = folder / "home"
    home.mkdir()
    record(home, "ab" * 32)

    def read(content: bytes) -> object:
        put(home / FILE, content)
        return require_current(home)

    return read, (home / FILE).read_bytes()


def at_file(read: Callable[[Path], object], folder: Path) -> Read:
    def run(content: bytes) -> object:
        put(folder / "file", content)
        return read(folder / "file")

    return run


def fork_file() -> bytes:
    """Evidence of a fork on a made-up chain."""
    return ForkFile("ab" * 32, {"epoch": 1}, (b"\x01", b"\x02"), ("http://a", "http://b"), (b"\x03",)).to_bytes()


def signing_file() -> bytes:
    """A transaction that one of two keys has signed."""
    keys = [Key(bytes([number]) * 32) for number in (1, 2)]
    authority = Authority(2, [key.public_key for key in keys])
    listed = [operations.put(keys[0].address, b"k", b"v"), operations.grant(keys[1].address, ["a"])]
    return SigningFile.build("ab" * 32, authority, keys[0].address, 4, 9, listed).sign(keys[0]).to_bytes()


def _cases() -> dict[str, Callable[[Path], tuple[Read, bytes]]]:
    found: dict[str, Callable[[Path], tuple[Read, bytes]]] = {
        "config": lambda _: (read_config, config_text()),
        "environment": lambda _: (read_environment, b"RUSTORIUM_STORAGE__KEEP=5000"),
        "net": lambda folder: (at_file(read_net, folder), net_file(folder)),
        "matrix": lambda folder: (at_file(read_matrix, folder), RTT_MATRIX.read_bytes()),
        "proof file": lambda _: (parse, proof_file()),
        "checkpoint": lambda _: (parse_checkpoint, checkpoint_to_bytes({"epoch": 1}, b"\x01")),
        "trust file": lambda _: (parse_trust, trust_to_bytes({"epoch": 1}, b"\x01", 7)),
        "fork file": lambda _: (parse_fork, fork_file()),
        "signing file": lambda _: (SigningFile.from_bytes, signing_file()),
        "event id": lambda _: (lambda content: place(content.decode(errors="replace")), b"0.12.0"),
        "event stream": lambda _: (read_stream, stream_bytes(RECEIPT)),
        "admin line": lambda _: (read_admin_line, json.dumps(TOKEN_ORDER).encode()),
        "admin body": lambda _: (read_admin_body, json.dumps(TOKEN_ORDER).encode()),
        "admin answer": lambda _: (read_admin_answer, json.dumps(REFUSAL).encode()),
        "tokens": tokens_case,
        "records": records_case,
        "format": format_case,
    }
    for name in ANSWERS:
        found[f"answer {name}"] = partial(answer_case, name)
    return found | log_cases()


CASES = _cases()
"""For each name a function that gets a folder and returns the reader and some valid inputs."""
