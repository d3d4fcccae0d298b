"""Authorities of several keys, and transactions in the form of version 2 that they sign.

Invariants: the bytes of authorities and settings are made here, by no code of what is tested.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from rustorium import _native
from rustorium.sim.net import REGION, Signed


@lru_cache(maxsize=4_096)
def public(seed: bytes) -> bytes:
    """Returns the public half of a seed's key."""
    return _native.public_key(seed)


@dataclass(frozen=True)
class Group:
    """An authority whose keys the simulation holds."""

    threshold: int
    seeds: tuple[bytes, ...]

    @cached_property
    def keys(self) -> tuple[bytes, ...]:
        """The public keys, in the order of an authority."""
        return tuple(sorted(map(public, self.seeds)))

    @cached_property
    def signer(self) -> bytes:
        """The bytes by which a record names the authority (V27)."""
        if self.threshold == 1 and len(self.seeds) == 1:
            return b"\0" + self.keys[0]
        _, digest = _native.authority_names(REGION, self.threshold, [key.hex() for key in self.keys])
        return b"\1" + bytes.fromhex(digest)

    @property
    def encoded(self) -> bytes:
        """The authority's canonical bytes."""
        return bytes([self.threshold, len(self.keys)]) + b"".join(b"\0" + key for key in self.keys)

    @property
    def said(self) -> dict[str, Any]:
        """The authority in an operation."""
        return {"threshold": self.threshold, "keys": [key.hex() for key in self.keys]}

    def sign(
        self,
        chain: str,
        sender: str,
        nonce: int,
        expires_ms: int,
        operations: Sequence[dict[str, Any]],
        *,
        forged: int = 0,
    ) -> Signed:
        """Signs a transaction with as many keys as it needs; `forged` of the signatures are another key's."""
        said = json.dumps(list(operations), separators=(",", ":"))
        keys = [key.hex() for key in self.keys]
        body = _native.UnsignedTransaction.build(
            chain, self.threshold, keys, sender, nonce, expires_ms, said, largest=False
        )
        seeds = sorted(self.seeds, key=public)[: self.threshold]
        signatures = [body.sign(seed) for seed in seeds]
        for place in range(forged):
            signatures[place] = signatures[-1] if len(signatures) > 1 else bytes(64)
        return Signed(*body.finish(list(enumerate(signatures))))


SEAT_KIND, OWNER_KIND = 4, 5


def system_sender(kind: int, number: int) -> str:
    """Returns the address of a sender of the system's own (V36)."""
    return _native.format_address(bytes(23) + bytes([kind]) + bytes(4) + struct.pack(">I", number))
