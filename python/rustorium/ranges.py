"""Cuts of the range of account ids, which divide the accounts of a net among its shards, and the shards of a genesis.

Invariants: PURE; cuts ascend, and each shard has one of the given accounts at least.
"""

from collections.abc import Sequence


def cuts(ids: Sequence[bytes], shards: int) -> list[bytes]:
    """Returns the lowest account id of each shard but the first, so that each shard has about as many of these accounts
    (at least one a shard). A cut has as many zeros at its end as it can."""
    ordered = sorted(ids)
    found = []
    for shard in range(1, shards):
        place = shard * len(ordered) // shards
        below, first = ordered[place - 1], ordered[place]
        shortest = (first[:length].ljust(len(first), b"\0") for length in range(1, len(first) + 1))
        found.append(next(cut for cut in shortest if cut > below))
    return found


def listed(lowest: Sequence[str], committees: Sequence[Sequence[int]]) -> list[dict[str, object]]:
    """Returns the shards of a genesis. `lowest`: the lowest address of each shard but the first. `committees`: the
    places of each shard's members among the validators."""
    section: list[dict[str, object]] = [{"members": list(committees[0])}]
    section += [{"from": cut, "members": list(members)} for cut, members in zip(lowest, committees[1:], strict=True)]
    return section
