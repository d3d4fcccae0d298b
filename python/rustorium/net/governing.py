"""Changes of a chain of version 2 that operators' seats propose and approve.

Invariants: SYNC; a seat signs only a change that was read from the bytes that it signs; an approval names the change by
the hash of what was shown.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.client import SigningFile
from rustorium.client.moments import moment
from rustorium.client.words import change_words
from rustorium.errors import NotFound, NotReady, UsageError
from rustorium.geo.plan import NOT_LEADING_MAX
from rustorium.net.generate import quorum_bounds
from rustorium.net.parties import faults_tolerated
from rustorium.types import Authority

if TYPE_CHECKING:
    from rustorium.client import Client, Key
    from rustorium.types import Submitted

VALID_S = 600.0
"""Time until a seat's transaction that is sent at once can't be executed any more."""
DAY_S = 24 * 3600.0
SETTLED_S = 10.0
"""Maximum time until the node that is asked has executed what another one said is final."""
POLL_S = 0.1
LEADERS = "not_leading"


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a change that a seat proposed or approved."""

    proposal: int | None
    """The number of the proposal that waits for other seats; `None` if the change is made."""
    approvals: int
    quorum: int


def seat_of(answer: Mapping[str, Any], authority: Authority) -> Mapping[str, Any]:
    """Returns the seat for which an authority acts. Errors: UsageError."""
    _, digest = _native.authority_names(0, authority.threshold, list(authority.keys))
    alone = authority.keys[0] if len(authority.keys) == 1 else None
    for seat in answer["seats"]:
        if seat.get("public_key", seat.get("authority_hash")) in (alone, digest):
            return dict(seat)
    raise UsageError("no operator's seat has this authority: `rustorium-node govern seats` shows whose they are")


def in_ms(answer: Mapping[str, Any], seconds: float) -> int:
    """Returns the time so many seconds from now, Unix ms, by the later one of this clock and the chain's."""
    return max(time.time_ns() // 1_000_000, int(answer["time_ms"])) + int(1000 * seconds)


def prepare(
    client: "Client",
    answer: Mapping[str, Any],
    operation: Mapping[str, Any],
    authority: Authority,
    valid_s: float = VALID_S,
) -> SigningFile:
    """Returns a seat's transaction without signatures. `answer`: the client's `governance()`.

    Errors: UsageError if no seat has the authority, and those of the client."""
    seat = seat_of(answer, authority)
    if seat["room"] == 0:
        raise UsageError("the seat did as much as it may in an hour: wait half a minute for each operation")
    parts = (client.chain(), authority, str(seat["sender"]), int(seat["nonce"]), in_ms(answer, valid_s))
    return SigningFile.build(*parts, [operation])


def send(client: "Client", answer: Mapping[str, Any], operation: Mapping[str, Any], key: "Key") -> "Submitted":
    """Sends an operation of the seat for which the key acts alone, and waits until it is final. Errors: UsageError, and
    those of the client, also if the operation fails."""
    file = prepare(client, answer, operation, Authority(1, [key.public_key]))
    return client.send_file(file.sign(key))


def proposal_of(answer: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """Returns an open proposal. Errors: NotFound."""
    for one in answer["proposals"]:
        if one["number"] == number:
            return dict(one)
    raise NotFound(f"proposal {number} isn't open: `rustorium-node govern list` shows those that are")


def parts(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parameters by their names; a part of one has a name with a dot, such as `capacity.work_per_s`."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{part}": held for part, held in value.items()}
        else:
            found[name] = value
    return found


def differences(wanted: Mapping[str, Any], change: Mapping[str, Any]) -> list[str]:
    """Returns what a change makes of the parameters that are wanted now, a line each; of another change, its words."""
    if change["type"] == "set_parameters":
        old, new = parts(wanted), parts(change["parameters"])
        names = [name for name in sorted((old.keys() | new.keys()) - {LEADERS}) if old.get(name) != new.get(name)]
        lines = [f"{name}: {json.dumps(old.get(name))} -> {json.dumps(new.get(name))}" for name in names]
        before, after = list(wanted.get(LEADERS, ())), list(change["parameters"].get(LEADERS, ()))
        lines += [f"node key {key}: leads in one cycle of 32 alone" for key in after if key not in before]
        return lines + [f"node key {key}: leads again" for key in before if key not in after]
    if change["type"] == "set_operators":
        before, after = list(wanted["operators"]), list(change["operators"])
        lines = [f"operator {key} goes" for key in before if key not in after]
        lines += [f"operator {key} comes" for key in after if key not in before]
        if wanted["operator_quorum"] != change["quorum"]:
            lines.append(f"quorum: {wanted['operator_quorum']} -> {change['quorum']}")
        return lines
    return [change_words(change)]


def effect(answer: Mapping[str, Any], change: Mapping[str, Any], *, made: bool = False) -> str:
    """Returns when a change takes effect once it is made, as the end of a sentence. `answer`: the client's
    `governance()`. `made`: it is made, and waits."""
    if change["type"] in ("end_epoch", "pause", "resume", "set_sponsor", "assign_sponsor"):
        return "at once"
    if change["type"] == "upgrade":
        wanted = answer.get("upgrade")
        recalls = wanted is not None and change["version"] < wanted["version"]
        return "at once" if recalls else "from the first epoch's end on at which enough members speak the version"
    from_ms, delay_ms = int(answer["operators_from_ms"]), int(answer["operators_delay_ms"])
    if change["type"] != "set_operators" or (delay_ms == 0 and not made):
        return "from an epoch's end on"
    if made:
        return f"from the first epoch's end at or after {moment(from_ms)} on"
    hours = f"{delay_ms / 3_600_000:g} hours"
    return f"from the first epoch's end on that is {hours} after the decision, or at any time if all seats approve"


def row(answer: Mapping[str, Any], proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a proposal as commands show it."""
    given = list(proposal["approvals"])
    return {
        "number": proposal["number"],
        "change": change_words(proposal["change"]),
        "seat": proposal["seat"],
        "approvals": given,
        "missing": max(0, int(answer["quorum"]) - len(given)),
        "not_approved": [seat["number"] for seat in answer["seats"] if seat["number"] not in given],
        "until": moment(int(proposal["until_ms"])),
        "made": bool(proposal["made"]),
        "effect": effect(answer, proposal["change"], made=proposal["made"]),
        "hash": proposal["hash"],
    }


def set_parameters(answer: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the change of some of the parameters that are wanted now. A name with a dot is that of a part, such as
    `capacity.work_per_s`. Errors: UsageError."""
    wanted = dict(answer["wanted"])
    unknown = sorted(changes.keys() - parts(wanted).keys() - wanted.keys())
    if unknown or not changes:
        names = ", ".join(unknown) or "none"
        raise UsageError(f"no chain parameter is named so: {names}; `rustorium-node genesis show` lists them")
    for name, value in changes.items():
        whole, _, part = name.partition(".")
        wanted[whole] = wanted[whole] | {part: value} if part else value
    return {"type": "set_parameters", "base": answer["wanted_hash"], "parameters": wanted}


def set_leaders(
    answer: Mapping[str, Any], validators: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Returns the change after which only these of the validators lead in ordinary cycles; all if there are no names.
    `validators`: those of the present committee. Errors: UsageError."""
    by_name = {str(one["name"]): str(one["node_key"]) for one in validators}
    unknown = sorted(set(names) - by_name.keys())
    if unknown:
        raise UsageError(f"no validator is named {unknown[0]}: take {', '.join(by_name)}")
    needed = 2 * faults_tolerated(len(by_name)) + 1
    others = [key for name, key in by_name.items() if names and name not in names]
    if len(by_name) - len(others) < needed:
        raise UsageError(f"at least {needed} of {len(by_name)} validators must lead, or all do")
    if len(others) > NOT_LEADING_MAX:
        raise UsageError(f"at most {NOT_LEADING_MAX} validators can be kept from leading")
    wanted = {name: value for name, value in answer["wanted"].items() if name != LEADERS}
    if others:
        wanted[LEADERS] = others
    return {"type": "set_parameters", "base": answer["wanted_hash"], "parameters": wanted}


def set_operators(answer: Mapping[str, Any], keys: Sequence[str], quorum: int) -> dict[str, Any]:
    """Returns the change of operators to these keys. Errors: UsageError if their quorum isn't possible (V45)."""
    least, most = quorum_bounds(len(keys))
    if not keys or not least <= quorum <= most:
        raise UsageError(f"a quorum of {quorum} of {len(keys)} operators isn't possible: take {least} to {most}")
    return {"type": "set_operators", "base": answer["wanted_hash"], "operators": list(keys), "quorum": quorum}


def wishes(answer: Mapping[str, Any], number: int) -> tuple[int, int]:
    """Returns how many owners wish the operators that this validator's owner wishes, and how many are needed (V48)."""
    owners = answer["owners"]
    own = next((one.get("wish") for one in owners if one["number"] == number), None)
    same = [one for one in owners if own is not None and one.get("wish") == own]
    return len(same), len(owners) - faults_tolerated(len(owners))


def set_sponsor(
    answer: Mapping[str, Any], account: str, work_percent: float, history_percent: float, for_s: float | None
) -> dict[str, Any]:
    """Returns the change of a sponsor's shares, which end after `for_s` if it is given."""
    shares = {"work_ppm": round(10_000 * work_percent), "history_ppm": round(10_000 * history_percent)}
    end = {} if for_s is None else {"until_ms": in_ms(answer, for_s)}
    return {"type": "set_sponsor", "account": account, **shares, **end}


def by_seats(client: "Client") -> bool:
    """Returns whether a node says that the current epoch's operators act by seats, as from version 2 on."""
    return int(client.parameters()["version"]) > 1


def seat_alone(answer: Mapping[str, Any], key: "Key") -> Mapping[str, Any]:
    """Returns the seat for which an operator's key acts alone. Errors: UsageError."""
    for seat in answer["seats"]:
        if seat.get("public_key") == key.public_key:
            return dict(seat)
    several = [seat["number"] for seat in answer["seats"] if seat["first_key"] == key.public_key]
    if several:
        raise UsageError(
            f"{key.address} is not an operator that acts alone: seat {several[0]} has another authority now. Write the "
            "change to a file and propose it by `rustorium-node govern propose change FILE --unsigned OUT --authority "
            "FILE`"
        )
    raise UsageError(
        f"{key.address} is not an operator of this chain, so it can't change the committee: name an operator's --key"
    )


def decide(client: "Client", change: Mapping[str, Any], key: "Key") -> Decision:
    """Has the seat for which the key acts alone approve a change: the open proposal of the same change, or a new one. A
    seat that approved it before approves nothing more. Errors: UsageError, NotReady, and those of the client."""
    answer = client.governance()
    seat = seat_alone(answer, key)
    digest = _native.change_hash(json.dumps(change))
    known = _newest(answer, digest)
    if known is None:
        operation = {"type": "propose", "change": change, "until_ms": in_ms(answer, DAY_S)}
    else:
        operation = {"type": "approve", "number": known["number"], "change": digest}
    if known is None or seat["number"] not in known["approvals"]:
        send(client, answer, operation, key)
        answer = _settled(client, seat)
    known = _newest(answer, digest)
    given = len(known["approvals"]) if known is not None else int(answer["quorum"])
    return Decision(int(known["number"]) if known is not None else None, given, int(answer["quorum"]))


def _newest(answer: Mapping[str, Any], digest: str) -> Mapping[str, Any] | None:
    return next((one for one in reversed(answer["proposals"]) if one["hash"] == digest), None)


def _settled(client: "Client", before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns who governs, from a node that has executed the transaction of a seat; `before`: the seat before it.
    Another node may have said that it is final."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        answer = client.governance()
        now = next((seat for seat in answer["seats"] if seat["number"] == before["number"]), None)
        if now is None or int(now["nonce"]) > int(before["nonce"]):
            return answer
        if time.monotonic() > deadline:
            raise NotReady("the node that was asked is behind: `rustorium-node govern list` shows what came of it")
        time.sleep(POLL_S)
