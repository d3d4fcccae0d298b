"""Randomly changed files and answers: each is read, or refused with a typed error.

`RUSTORIUM_HOSTILE_INPUTS` makes the runs longer.
"""

import os
import random
from pathlib import Path

import pytest
from hostile_cases import CASES

from rustorium.errors import RustoriumError

INPUTS = int(os.environ.get("RUSTORIUM_HOSTILE_INPUTS", "500"))
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
    """Returns the input with up to four changes of bits, pieces or words."""
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


LONG = b"9" * 5_000
"""More digits than Python turns into an integer."""
DEEP = b"[" * 100_000


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_is_read_or_refused_with_a_typed_error(name: str, tmp_path: Path) -> None:
    read, good = CASES[name](tmp_path)
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
