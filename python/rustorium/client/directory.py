"""The directory: which nodes a chain's owners list for clients, and which of them a client asks.

A validator's owner keeps the records of its nodes under one key of its account. Each record is signed by its node. A
record grants nothing: what a listed node answers is checked as any node's answer is.

Invariants: records come from a proven state alone; only nodes with checked certificates are asked, and none inside the
client's own network unless the user named a node there; expired records and those of other chains are ignored.
"""

import ipaddress
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from rustorium import _native
from rustorium.config import is_loopback
from rustorium.geo.places import Place, distance, place_of_region

PLACES_NEAR, NODES_NEAR = 3, 2
"""Candidates are so many nodes in each of so many nearest places, and of each owner at most as many as in a place."""
FARTHEST = 4.0
"""The other side of the globe."""
SPREAD = 8
"""Candidates of a client that doesn't know where it is."""
FRESH_S = 600.0
"""Time for which a directory that was read is used before it is read anew."""
RETRY_S = 60.0
"""Pause after an attempt that failed."""
READ_S = 2.0
"""Longest time that a request waits for the directory."""
LIFETIME_DAYS = 90
NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?", re.IGNORECASE)
"""Hosts such as 127.1 and 0x7f000001, which systems take for addresses."""


@dataclass(frozen=True, slots=True)
class ListedNode:
    """What a node says of itself."""

    node_key: str
    """Hex digits."""
    region: int
    """Home region's byte."""
    place: Place | None
    """Where it stands, degrees north and east; `None` if neither it nor its region says so."""
    url: str
    """Of its HTTP API; empty if it has none for clients."""
    made_ms: int
    until_ms: int
    """It says nothing from then on, Unix ms."""
    raw: bytes
    """The signed record."""
    owner: str = ""
    """Address of the account that lists it."""


def records_in(value: bytes, chain: str, owner: str = "") -> list[ListedNode]:
    """Returns the records in an owner's value that their nodes signed for this chain."""
    return [
        ListedNode(node_key, region, place or place_of_region(region), url, made_ms, until_ms, raw, owner)
        for raw, (node_key, region, place, url, made_ms, until_ms) in _native.read_node_records(value, chain)
    ]


def read_record(raw: bytes, chain: str, owner: str = "") -> ListedNode | None:
    """Returns a signed record; `None` unless its node signed it for this chain."""
    try:
        return next(iter(records_in(_native.node_records([raw]), chain, owner)), None)
    except ValueError:
        return None


def newest(records: Iterable[ListedNode], now_ms: int) -> list[ListedNode]:
    """Returns the record of each node that was made last, without those that have expired; once for each owner that
    lists it, so that nobody takes a node away from its owner by listing it, too."""
    found = dict[tuple[str, str], ListedNode]()
    made = dict[str, int]()
    for one in records:
        if one.until_ms > now_ms:
            made[one.node_key] = max(one.made_ms, made.get(one.node_key, 0))
            known = found.get((one.node_key, one.owner))
            if known is None or one.made_ms > known.made_ms:
                found[one.node_key, one.owner] = one
    return [one for one in found.values() if one.made_ms == made[one.node_key]]


def usable(nodes: Iterable[ListedNode], own: Sequence[str]) -> list[ListedNode]:
    """Returns the nodes that a client with these endpoints of its own may ask. A record may name any address, so
    clients would connect to machines of their own networks. So addresses that only some network knows count if a
    user's endpoint is such an address, and no other node is outside."""
    hosts = [_host(one) for one in own]
    inside, outside = list[ListedNode](), list[ListedNode]()
    for one in nodes:
        host = _host(one.url)
        if host and is_loopback(host) and any(map(is_loopback, hosts)):
            inside.append(one)
        elif host and one.url.startswith("https://"):
            if not _is_inside(host):
                outside.append(one)
            elif not is_loopback(host) and any(_is_inside(one) and not is_loopback(one) for one in hosts):
                inside.append(one)
    return outside or inside


def _host(url: str) -> str:
    """Returns the host of a URL that has nothing but a scheme, a host and a port; else nothing."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    name = f"[{host}]" if ":" in host else host
    plain = f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")
    return host if parts.scheme in ("http", "https") and plain == url.lower().rstrip("/") else ""


def _is_inside(host: str) -> bool:
    """Returns whether a host is an address that only some network knows. A name that leads to one can't show its
    certificate."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return is_loopback(host) or NUMBERS.fullmatch(host) is not None


def choose(nodes: Iterable[ListedNode], at: Place | None, random: Random) -> tuple[list[ListedNode], list[ListedNode]]:
    """Returns the candidates, and the reserve: two nodes, drawn, in each of the three places nearest to the client; or
    one in each of eight places if it doesn't know where it is. Two nodes of one owner at most, since a place is what a
    record says."""
    places = dict[Place | str, list[ListedNode]]()
    for one in random.sample(found := list(nodes), len(found)):
        places.setdefault(one.place or one.node_key, []).append(one)
    if at is None:
        order, places_max, each = list(places), SPREAD, 1
    else:
        order, places_max, each = sorted(places, key=lambda place: _far(at, place)), PLACES_NEAR, NODES_NEAR
    chosen, of_owner, taken = list[ListedNode](), Counter[str](), 0
    for place in order:
        if taken == places_max:
            break
        before = len(chosen)
        for one in places[place]:
            has_room = len(chosen) - before < each and of_owner[one.owner] < NODES_NEAR
            if has_room and all(one.node_key != other.node_key for other in chosen):
                chosen.append(one)
                of_owner[one.owner] += 1
        taken += len(chosen) > before
    keys = {one.node_key for one in chosen}
    return chosen, [one for one in found if one.node_key not in keys]


def _far(at: Place, place: Place | str) -> float:
    """Returns how far a place is; a node that says none isn't near."""
    return FARTHEST if isinstance(place, str) else distance(at, place)


def cache_file(chain: str, environment: "os._Environ[str] | dict[str, str]" = os.environ) -> Path:
    """Returns the file that keeps a chain's directory between runs."""
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rustorium" / f"directory-{chain}.json"


def load(file: Path, chain: str) -> tuple[list[ListedNode], float]:
    """Returns the kept records and the time at which they were read, Unix seconds; none and 0 if there are none."""
    try:
        held = json.loads(file.read_text())
        read_s = float(held["read_s"])
        records = [read_record(bytes.fromhex(raw), chain, str(owner)) for owner, raw in held["records"]]
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return [], 0.0
    return [one for one in records if one is not None], read_s


def save(file: Path, records: Sequence[ListedNode], read_s: float) -> None:
    """Keeps records for the next run; without a place for them nothing is kept."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            part.write_text(json.dumps({"read_s": read_s, "records": [(one.owner, one.raw.hex()) for one in records]}))
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
