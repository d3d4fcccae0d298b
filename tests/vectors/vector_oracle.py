"""BLAKE3, Ed25519, bech32m and borsh, written here from their papers, so that no code of the project checks its own
vectors.

Invariants: imports nothing of the project; slow and without side-channel defences, only for tests.
"""

import hashlib
import unicodedata
from collections.abc import Callable
from typing import Any

# ---- BLAKE3, hash mode: the paper's section 2 -----------------------------------------------------------------------

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_SHUFFLE = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_LANES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_WORD = 0xFFFFFFFF


def _turn(word: int, by: int) -> int:
    return (word >> by | word << (32 - by)) & _WORD


def _compress(chaining: tuple[int, ...], block: bytes, counter: int, flags: int, length: int) -> tuple[int, ...]:
    message = [int.from_bytes(block[i : i + 4], "little") for i in range(0, 64, 4)]
    state = [*chaining, *_IV[:4], counter & _WORD, counter >> 32, length, flags]
    for _ in range(7):
        words = iter(message)
        for a, b, c, d in (*_LANES, *_DIAGONALS):
            for first, second in ((16, 12), (8, 7)):
                state[a] = (state[a] + state[b] + next(words)) & _WORD
                state[d] = _turn(state[d] ^ state[a], first)
                state[c] = (state[c] + state[d]) & _WORD
                state[b] = _turn(state[b] ^ state[c], second)
        message = [message[i] for i in _SHUFFLE]
    return tuple(state[i] ^ state[i + 8] for i in range(8))


def _chunk(data: bytes, counter: int, root: int) -> tuple[int, ...]:
    chaining: tuple[int, ...] = _IV
    starts = range(0, max(len(data), 1), 64)
    for start in starts:
        block = data[start : start + 64]
        flags = (_CHUNK_START if start == 0 else 0) | (_CHUNK_END | root if start == starts[-1] else 0)
        chaining = _compress(chaining, block.ljust(64, b"\0"), counter, flags, len(block))
    return chaining


def _tree(data: bytes, counter: int, root: int) -> tuple[int, ...]:
    if len(data) <= 1024:
        return _chunk(data, counter, root)
    left = 1024 << (((len(data) - 1) // 1024).bit_length() - 1)
    halves = _tree(data[:left], counter, 0) + _tree(data[left:], counter + left // 1024, 0)
    block = b"".join(word.to_bytes(4, "little") for word in halves)
    return _compress(_IV, block, 0, _PARENT | root, 64)


def blake3(data: bytes) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in _tree(data, 0, _ROOT))


# ---- Ed25519: RFC 8032, section 5.1 ---------------------------------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P

Point = tuple[int, int, int, int]


def _add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total


def _base() -> Point:
    y = 4 * pow(5, -1, _P) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    x = _P - x if x & 1 else x
    return x, y, 1, x * y % _P


_BASE = _base()


def _packed(point: Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _mod_l(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % _L


def ed25519_public(seed: bytes) -> bytes:
    return _packed(_times(_secret(seed)[0], _BASE))


def _secret(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ((1 << 254) - 8) | 1 << 254, digest[32:]


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """Signs deterministically, so a signer that follows the standard makes the same bytes."""
    scalar, prefix = _secret(seed)
    nonce = _mod_l(prefix, message)
    commitment = _packed(_times(nonce, _BASE))
    challenge = _mod_l(commitment, ed25519_public(seed), message)
    return commitment + ((nonce + challenge * scalar) % _L).to_bytes(32, "little")


def _point(encoded: bytes) -> Point | None:
    """Returns the point of 32 bytes, canonical or not, as ZIP-215 reads it; `None` if there is none."""
    number = int.from_bytes(encoded, "little")
    y, sign = number % 2**255 % _P, number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P:
        return None
    x = (_P - x) % _P if x & 1 != sign else x
    return x, y, 1, x * y % _P


def _vanishes(point: Point) -> bool:
    """Tells if eight times the point is the neutral point."""
    x, y, z, _ = _times(8, point)
    return x % _P == 0 and (y - z) % _P == 0


def ed25519_small_order(key: bytes) -> bool:
    """Tells if a key is of small order, by computing it."""
    point = _point(key)
    return point is not None and _vanishes(point)


def ed25519_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Checks a signature by the rules of ZIP-215."""
    public, commitment = _point(key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or scalar >= _L:
        return False
    challenge = _mod_l(signature[:32], key, message)
    claimed = _add(commitment, _times(challenge, public))
    x, y, z, t = _times(scalar, _BASE)
    return _vanishes(_add(claimed, (-x % _P, y, z, -t % _P)))


# ---- bech32m: BIP-350 -----------------------------------------------------------------------------------------------

_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def address(raw: bytes) -> str:
    """Returns the `rs1…` form of 32 bytes."""
    bits = int.from_bytes(raw, "big") << 4  # 256 bits, padded to 52 characters of five bits
    values = [bits >> (5 * i) & 31 for i in range(51, -1, -1)]
    check = 1
    for value in [*(ord(c) >> 5 for c in "rs"), 0, *(ord(c) & 31 for c in "rs"), *values, *[0] * 6]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATORS):
            check ^= generator if top >> i & 1 else 0
    check ^= 0x2BC830A3
    values += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return "rs1" + "".join(_CHARACTERS[value] for value in values)


# ---- borsh, and a transaction in it ---------------------------------------------------------------------------------


class Reader:
    """Reads values in order. Errors: `ValueError` if the bytes are no encoding."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self._data):
            raise ValueError("the bytes end early")
        self.at += count
        return self._data[self.at - count : self.at]

    def integer(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def length(self, limit: int) -> int:
        if (length := self.integer(4)) > limit:
            raise ValueError(f"{length} are more than {limit}")
        return length

    def blob(self, limit: int) -> bytes:
        return self.take(self.length(limit))

    def many(self, limit: int, read: Callable[[], Any]) -> list[Any]:
        return [read() for _ in range(self.length(limit))]

    def option(self, read: Callable[[], Any]) -> Any:
        if (tag := self.integer(1)) > 1:
            raise ValueError(f"an option's tag is {tag}")
        return read() if tag else None

    def boolean(self) -> bool:
        if (tag := self.integer(1)) > 1:
            raise ValueError(f"{tag} is neither no nor yes")
        return bool(tag)

    def since(self, begun: int) -> bytes:
        """Returns the bytes that were read since `at` was this."""
        return self._data[begun : self.at]

    def hex32(self) -> str:
        return self.take(32).hex()

    def account(self) -> str:
        return address(self.take(32))

    def end(self) -> None:
        if self.at != len(self._data):
            raise ValueError("bytes are left over")


def named(name: str, raw: bytes) -> dict[str, str]:
    """Returns `name_hex`, and also `name` if the bytes are UTF-8."""
    try:
        return {name: raw.decode(), f"{name}_hex": raw.hex()}
    except UnicodeDecodeError:
        return {f"{name}_hex": raw.hex()}


def once(name: str, raw: bytes) -> dict[str, str]:
    """Returns `name` if the bytes are text without control characters (except tab and line ends), otherwise
    `name_hex`.
    """
    text = named(name, raw).get(name)
    if text is None or any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text):
        return {f"{name}_hex": raw.hex()}
    return {name: text}


def condition(r: Reader) -> dict[str, Any]:
    match r.integer(1):
        case 0:
            fields = {"type": "value_hash", "namespace": r.account(), **named("key", r.blob(512))}
            return fields | {"hash": r.hex32()}
        case 1:
            return {"type": "absent", "namespace": r.account(), **named("key", r.blob(512))}
        case 2:
            fields = {"type": "balance_at_least", "account": r.account(), "asset": r.hex32()}
            return fields | {"amount": str(r.integer(16))}
        case 3:
            fields = {"type": "proved", "verifier": r.hex32(), "input": r.integer(1)}
            if (kind := r.integer(1)) > 1:
                raise ValueError(f"no value of an input has tag {kind}")
            return fields if kind else fields | {"value": r.hex32()}
        case tag:
            raise ValueError(f"no condition has tag {tag}")


def operation(r: Reader, tag: int) -> dict[str, Any]:
    """Reads what follows an operation's tag. Version 2 has most operations of version 1 as they are."""
    match tag:
        case 0:
            fields = {"type": "create_account", "region": r.integer(1), "public_key": r.hex32()}
            return fields | {"storage_bytes": r.integer(8)}
        case 1:
            fields = {"type": "put", "namespace": r.account(), **named("key", r.blob(512))}
            return fields | once("value", r.blob(65_536))
        case 2:
            return {"type": "delete", "namespace": r.account(), **named("key", r.blob(512))}
        case 3:
            return {"type": "require", "condition": condition(r)}
        case 4:
            return {"type": "transfer", "to": r.account(), "asset": r.hex32(), "amount": str(r.integer(16))}
        case 5:
            fields = {"type": "issue", **named("symbol", r.blob(16))}
            return fields | {"to": r.account(), "amount": str(r.integer(16))}
        case 6:
            fields = {"type": "grant", "to": r.account()}
            return fields | {"prefixes_hex": r.many(16, lambda: r.blob(512).hex())}
        case _:
            return _committee_operation(r, tag) if tag <= 10 or tag >= 16 else _proof_operation(r, tag)


def _committee_operation(r: Reader, tag: int) -> dict[str, Any]:
    match tag:
        case 7:
            fields = {"type": "add_validator", **named("name", r.blob(64))}
            fields |= {"validator_key": r.hex32(), "node_key": r.hex32(), "owner_key": r.hex32()}
            return fields | {"region": r.integer(1), **named("address", r.blob(128))}
        case 8:
            return {"type": "remove_validator", "validator_key": r.hex32()}
        case 9:
            fields = {"type": "replace_key", "validator_key": r.hex32()}
            return fields | {"new_validator_key": r.hex32(), "new_node_key": r.hex32()}
        case 10:
            return {"type": "end_epoch", "epoch": r.integer(8)}
        case 16 | 17:
            fields = _committee_operation(r, 7 if tag == 16 else 9)
            return fields | {"possession": {"validator": r.take(64).hex(), "node": r.take(64).hex()}}
        case _:
            raise ValueError(f"no operation has tag {tag}")


def _proof_operation(r: Reader, tag: int) -> dict[str, Any]:
    match tag:
        case 11:
            fields = {"type": "register_verifier", "key_hex": r.blob(6913).hex()}
            return fields | {"named": r.many(4, lambda: {"index": r.integer(1), "once": r.boolean()})}
        case 12:
            fields = {"type": "verify_proof", "verifier": r.hex32(), "inputs": r.many(64, r.hex32)}
            return fields | {"proof_hex": r.blob(384).hex()}
        case 13:
            fields = {"type": "shield", "pool": r.integer(4), "asset": r.hex32(), "amount": str(r.integer(8))}
            return fields | {"transfer": _pool_transfer(r)}
        case 14:
            return {"type": "shielded_transfer", "pool": r.integer(4), "transfer": _pool_transfer(r)}
        case 15:
            fields = {"type": "unshield", "pool": r.integer(4), "asset": r.hex32(), "amount": str(r.integer(8))}
            return fields | {"to": r.account(), "transfer": _pool_transfer(r)}
        case _:
            raise ValueError(f"no operation has tag {tag}")


def _pool_transfer(r: Reader) -> dict[str, Any]:
    fields = {"root": r.hex32(), "nullifiers": [r.hex32(), r.hex32()], "commitments": [r.hex32(), r.hex32()]}
    return fields | {"sealed_hex": r.take(664).hex(), "proof_hex": r.take(256).hex()}


def location(r: Reader) -> dict[str, int]:
    return {"latitude_e7": r.integer(4, signed=True), "longitude_e7": r.integer(4, signed=True)}


def transaction(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns a transaction's fields as JSON shows them, and its body's bytes. Errors: `ValueError` if it is none."""
    r = Reader(raw)
    fields: dict[str, Any] = {
        "version": r.integer(2),
        "chain": r.hex32(),
        "sender": r.account(),
        "public_key": r.hex32(),
        "nonce": r.integer(8),
        "expires_at_ms": r.integer(8),
        "work_limit": r.integer(8),
        "shard_hint": r.option(lambda: r.integer(4)),
        "location": r.option(lambda: location(r)),
        "operations": r.many(256, lambda: operation(r, r.integer(1))),
    }
    body = raw[: r.at]
    fields["signature"] = r.take(64).hex()
    r.end()
    return fields, body


# ---- the order of lanes ---------------------------------------------------------------------------------------------

WORD = (1 << 64) - 1


def lane_order(case: dict[str, Any]) -> list[int]:
    """Returns the lanes of a block in the order of execution, by its version's rule."""
    n, view = case["n"], case["view"]
    if case["version"] == 1:
        return [(view + place) % n for place in range(n)]
    claimed = case["epoch"].to_bytes(8, "little") + view.to_bytes(8, "little") + bytes.fromhex(case["parent_root"])
    state = int.from_bytes(blake3(b"rustorium/lane-order/v2\0" + claimed)[:8], "little")
    lanes = list(range(n))
    for last in range(n - 1, 0, -1):
        state = (state + 0x9E3779B97F4A7C15) & WORD
        mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & WORD
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & WORD
        other = (mixed ^ (mixed >> 31)) % (last + 1)
        lanes[last], lanes[other] = lanes[other], lanes[last]
    return [lane for lane in lanes if lane != case["proposer"]] + [case["proposer"]]


# ---- votes and headers ----------------------------------------------------------------------------------------------


def vote_body(r: Reader) -> bytes:
    """Returns the bytes that are signed after the domain string: chain, shard, epoch, view, kind, block."""
    place = r.take(32 + 4 + 8 + 8)
    if (kind := r.integer(1)) > 2:
        raise ValueError(f"no vote is of kind {kind}")
    return place + bytes([kind]) + r.take(32)


def header(r: Reader) -> dict[str, Any]:
    """Reads a header; returns the fields that the tests need."""
    r.take(2 + 32 + 4 + 8 + 8 + 8 + 32 + 8 + 2 + 8)  # version to time
    root, cursors = r.take(32), r.many(128, lambda: r.take(8 + 32))
    r.take(4 + 8 + 8 + 32)  # transactions to the committee's hash
    if r.integer(1) > 1:
        raise ValueError("whether the epoch ends is neither no nor yes")
    r.take(3 * 32 + 8 + 32)  # the next committee's hash to the claim on results
    if (claim := r.integer(1)) > 1:
        raise ValueError(f"no claim on the state has tag {claim}")
    r.take((8 + 8 + 32) * claim)
    return {"payload_root": root, "cursors": cursors}
