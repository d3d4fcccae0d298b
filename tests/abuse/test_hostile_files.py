"""Files and answers that anybody may have written, changed at random: each is read, or refused with an error of ours.

`RUSTORIUM_HOSTILE_INPUTS` makes the runs longer.
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from rustorium.client import wire
from rustorium.client.events import place
from rustorium.client.prooffile import checkpoint_to_bytes, parse, parse_checkpoint
from rustorium.config import load, render
from rustorium.errors import RustoriumError
from rustorium.net import Net, NetAccount, NetNode, read_net
from rustorium.netgen import RTT_MATRIX, matrix_regions

INPUTS = int(os.environ.get("RUSTORIUM_HOSTILE_INPUTS", "1500"))
WORDS = [
    b"0",
    b"-1",
    b"1e999",
    b"null",
    b"true",
    b'""',
    b"{}",
    b"[",
    b"]",
    b"\\u0000",
    b"\xff",
    b"\n",
    b",",
    b"=",
    b'"""',
    b"NaN",
]


def mutated(good: bytes, luck: random.Random) -> bytes:
    """Bits, pieces and words changed, up to four times."""
    bytes_ = bytearray(good)
    for _ in range(luck.randint(1, 4)):
        at = luck.randrange(len(bytes_) + 1)
        end = min(len(bytes_), at + luck.choice([0, 1, 4, 30]))
        match luck.randrange(4):
            case 0 if at < len(bytes_):
                bytes_[at] ^= 1 << luck.randrange(8)
            case 1:
                bytes_[at:end] = luck.choice(WORDS)
            case 2:
                del bytes_[at:end]
            case _:
                bytes_[at:at] = bytes_[at:end] or luck.randbytes(3)
    return bytes(bytes_)


def config_text() -> bytes:
    text = """
    [node]
    name = "node-0"
    [p2p]
    listen = "127.0.0.1:26650"
    followers_max = 4
    [p2p.peers]
    "node-1" = "[::1]:26650"
    [storage]
    keep = 5000
    [shaper]
    regions = ["a", "b"]
    """
    return text.encode()


def read_config(content: bytes) -> None:
    """What is read is written and read again as the same."""
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


STATUS = {
    "node": "n", "validator": 0, "version": "1", "height": 1, "view": 2, "epoch": 0,
    "executed": {"height": 1, "root": "ab"}, "claimed": {"height": 1, "root": "ab"}, "peers_up": 3, "peers": 3,
    "unreachable": [], "pool": {"transactions": 0, "bytes": 0}, "durability": "vote", "ready": True, "reason": None,
    "retired": None, "evidence": [],
}  # fmt: skip


def read_answer(content: bytes) -> None:
    """A node's answer, whichever it is taken for."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return
    for reader in (wire.submitted, wire.transaction_status, wire.account, wire.block, wire.node_status, wire.proof):
        try:
            wire.parse(reader, answer)
        except RustoriumError:
            continue
    wire.problem(503, answer)


def read_place(content: bytes) -> None:
    place(content.decode(errors="replace"))


def at_file(read: Callable[[Path], object], folder: Path) -> Callable[[bytes], object]:
    def run(content: bytes) -> object:
        (folder / "file").write_bytes(content)
        return read(folder / "file")

    return run


def cases(folder: Path) -> dict[str, tuple[Callable[[bytes], object], bytes]]:
    return {
        "config": (read_config, config_text()),
        "environment": (read_environment, b"RUSTORIUM_STORAGE__KEEP=5000"),
        "net": (at_file(read_net, folder), net_file(folder)),
        "matrix": (at_file(matrix_regions, folder), RTT_MATRIX.read_bytes()),
        "proof": (parse, proof_file()),
        "checkpoint": (parse_checkpoint, checkpoint_to_bytes({"epoch": 1}, b"\x01")),
        "answer": (read_answer, json.dumps(STATUS).encode()),
        "event id": (read_place, b"12.0"),
    }


LONG = b"9" * 5_000
"""More digits than Python turns into an integer."""
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "name", ["config", "environment", "net", "matrix", "proof", "checkpoint", "answer", "event id"]
)
def test_what_anybody_wrote_is_read_or_refused_with_an_error_of_ours(name: str, tmp_path: Path) -> None:
    read, good = cases(tmp_path)[name]
    read(good)
    luck = random.Random(f"hostile {name}")
    edges = [
        b"",
        LONG,
        LONG + b"." + LONG,
        DEEP,
        b"a = " + DEEP,
        b"[storage]\ncache_bytes = " + LONG,
        b"\xff\xfe",
        b"null",
    ]
    edges += [b"RUSTORIUM_STORAGE__KEEP=" + LONG, b"RUSTORIUM_SHAPER__REGIONS=" + DEEP, b'{"executed": ' + LONG + b"}"]
    for number in range(INPUTS):
        content = edges[number] if number < len(edges) else mutated(good, luck)
        try:
            read(content)
        except RustoriumError:
            continue
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error} of {content[:300]!r}")
