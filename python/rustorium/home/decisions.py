"""Says in words what operators' seats decided, as a node's audit log has it.

Invariants: a line that has another form is shown as it is.
"""

from collections.abc import Mapping
from typing import Any

from rustorium.client.moments import moment

EVENT = "governance"


def words(fields: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each act of an audit line about operators' decisions; none if the line can't be read."""
    try:
        return [_sentence(act) for act in fields["acts"]]
    except (KeyError, TypeError, ValueError):
        return []


def _sentence(act: Mapping[str, Any]) -> str:
    name = act["act"]
    if name == "in-force":
        return f"epoch {int(act['epoch'])} begins with {_begun(act)}"
    if name in ("wished", "replaced"):
        owner = f"the owner of validator {int(act['validator'])} wishes other operators, {_change(act)}"
        return owner if name == "wished" else f"{owner}: they govern from {moment(int(act['from_ms']))} on"
    seat = f"seat {int(act['seat'])}"
    if name == "keys-changed":
        one = act.get("public_key")
        return f"{seat} has other keys: {one if one is not None else 'the authority ' + str(act['authority_hash'])}"
    proposal = f"proposal {int(act['number'])}"
    if name == "proposed":
        return f"{seat} made {proposal}, {_change(act)}, open until {moment(int(act['until_ms']))}"
    if name == "approved":
        return f"{seat} approved {proposal}, {_change(act)}"
    if name == "withdrawn":
        return f"{seat} took its approval of {proposal} back{', which ended it' if act['ended'] else ''}"
    whose = f"the account {act['account']}" if "account" in act else "all accounts"
    if name == "paused":
        return f"{seat} decided {proposal}, {_change(act)}: {whose} paused until {moment(int(act['until_ms']))}"
    if name == "resumed":
        return f"{seat} decided {proposal}, {_change(act)}: the pause of {whose} is over"
    if name == "made":
        return f"{seat} decided {proposal}, {_change(act)}: the change is made"
    raise ValueError(name)


def _change(act: Mapping[str, Any]) -> str:
    return f"{act['change']} {act['hash']}" if "change" in act else f"change {act['hash']}"


def _begun(act: Mapping[str, Any]) -> str:
    changed = act["change"]
    if changed == "version":
        return f"protocol version {int(act['version'])}"
    return f"{'another' if changed == 'committee' else 'other'} {changed}, hash {act[changed]}"
