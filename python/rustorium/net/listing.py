"""Lists nodes in the directory: a node signs a card about itself, and a validator's owner puts cards into its account.

Invariants: SYNC; the other records of an account stay, except expired ones; a card of another chain or with a wrong
signature is never listed.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.client.directory import LIFETIME_DAYS, ListedNode, newest, read_record, records_in
from rustorium.errors import UsageError
from rustorium.geo.places import Place
from rustorium.home.keys import open_signing_key
from rustorium.home.paths import Home
from rustorium.types import Subject, Value

if TYPE_CHECKING:
    from rustorium.client import Client, Key
    from rustorium.types import Submitted

FORMAT = 1
RECORDS_MAX = 8
DAY_MS = 24 * 3_600 * 1_000


@dataclass(frozen=True, slots=True)
class About:
    """What a node is to say of itself."""

    url: str
    region: int | None
    """`None`: that of its validator in the genesis."""
    place: Place | None
    days: int


def card(home: Home, about: About, passphrase_file: Path | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns the content of a node's card, signed by the home's node key. Errors: UsageError, HomeMissing, HomeError,
    KeyFileError."""
    if not 1 <= about.days <= LIFETIME_DAYS:
        raise UsageError(f"a card is valid for 1 to {LIFETIME_DAYS} days, not {about.days}")
    key = open_signing_key(home.node_key, "node", passphrase_file, environment)
    genesis = home.genesis_bytes()
    node_key, chain = key.public.hex(), _native.genesis_hash(genesis)
    region = _region_of(genesis, node_key) if about.region is None else about.region
    if region is None:
        raise UsageError("the genesis doesn't name this node: say its --region")
    made_ms = round(time.time() * 1000)
    times_ms = made_ms, made_ms + about.days * DAY_MS
    try:
        record = _native.node_record(key, chain, region, about.place, about.url.rstrip("/"), times_ms)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return {
        "format": FORMAT, "chain": chain, "node_key": node_key, "region": region, "url": about.url.rstrip("/"),
        "until_ms": times_ms[1], "record": record.hex(),
    }  # fmt: skip


def _region_of(genesis: bytes, node_key: str) -> int | None:
    for one in json.loads(_native.genesis_describe(genesis))["validators"]:
        if one["node_key"] == node_key:
            return int(one["region"])
    return None


def read_card(path: Path, chain: str) -> ListedNode:
    """Returns the record in a card file. Errors: UsageError."""
    try:
        held = json.loads(path.expanduser().read_text())
        of, record = str(held["chain"]), bytes.fromhex(held["record"])
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name a card that `node card` wrote") from None
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{path} is no card: make one by `rustorium-node node card`") from None
    if of != chain:
        raise UsageError(f"{path} is for chain {of[:16]}, and the net is chain {chain[:16]}: make a card of this net")
    found = read_record(record, chain)
    if found is None:
        raise UsageError(f"{path} was changed after its node signed it: make it again by `rustorium-node node card`")
    return found


def region_of_owner(client: "Client", owner_key: str) -> int:
    """Returns the region of the account of a validator's owner. Errors: UsageError if the key owns no validator."""
    for one in client.validators()["validators"]:
        if one["owner_key"] == owner_key:
            return int(one["region"])
    raise UsageError(
        f"{owner_key} owns no validator of the present committee, and only owners list nodes: give an owner's key file"
    )


def held(client: "Client", account: str) -> list[ListedNode]:
    """Returns the records in an account, proven, without expired ones; also those that another command has put just
    before. Errors: VerificationFailed."""
    value = client.proven([Subject(account, key=_native.directory_key())], at="current").items.values()
    found = [one.value for one in value if isinstance(one, Value) and one.value is not None]
    return newest([one for part in found for one in records_in(part, client.chain())], round(time.time() * 1000))


def announce(client: "Client", owner: "Key", cards: Sequence[ListedNode]) -> "tuple[list[ListedNode], Submitted]":
    """Puts records into the owner's account; those of other nodes stay. Returns what it lists now. Errors: UsageError,
    those of `put`."""
    now_ms = round(time.time() * 1000)
    if expired := [one for one in cards if one.until_ms <= now_ms]:
        raise UsageError(f"the card of node {expired[0].node_key} has expired: make it again")
    # A node whose clock was ahead once has made a record that is later than each of its next ones.
    keys = {one.node_key for one in cards}
    others = [one for one in held(client, owner.address) if one.node_key not in keys]
    return _put(client, owner, [*others, *newest(cards, now_ms)])


def withdraw(client: "Client", owner: "Key", node_key: str) -> "tuple[list[ListedNode], Submitted]":
    """Removes a node's record from the owner's account. Returns what it lists now. Errors: UsageError, those of
    `put`."""
    before = held(client, owner.address)
    after = [one for one in before if one.node_key != node_key.lower()]
    if len(after) == len(before):
        named = ", ".join(one.node_key for one in before) or "none"
        raise UsageError(f"{owner.address} doesn't list node {node_key}: it lists {named}")
    return _put(client, owner, after)


def _put(client: "Client", owner: "Key", records: Sequence[ListedNode]) -> "tuple[list[ListedNode], Submitted]":
    if len(records) > RECORDS_MAX:
        raise UsageError(
            f"an owner lists at most {RECORDS_MAX} nodes: withdraw one first, or have another owner list it"
        )
    listed = sorted(records, key=lambda one: one.node_key)
    value = _native.node_records([one.raw for one in listed])
    return listed, client.put(_native.directory_key(), value, key=owner)
