"""Says in sentences what a checked proof shows.

Invariants: takes only checked facts, never what is beside them in a file; each sentence is one line whatever the facts
contain.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rustorium.client.moments import moment
from rustorium.client.settings import settings_words
from rustorium.client.words import change_words, quoted, shown


def sentences(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a proof shows, one fact a line. `facts`: those of a `VerifiedProof`."""
    if facts["kind"] == "read":
        for item in facts["items"]:
            yield f"After height {facts['height']}, {_content(item)}."
        return
    if facts["kind"] == "block":
        yield f"Block {facts['header']['height']} of epoch {facts['epoch']} is final."
        return
    yield _outcome(facts["receipt"])
    transaction = facts.get("transaction")
    if transaction is None:
        yield "The transaction itself is not in the proof."
        return
    sender = transaction["sender"]
    for number, operation in enumerate(transaction["operations"]):
        yield f"Operation {number} of {sender}: {shown(operation, sender)}."


def _outcome(receipt: Mapping[str, Any]) -> str:
    said = f"Transaction {receipt['id']} of {receipt['sender']} is final at height {receipt['height']}"
    failure = receipt.get("failure")
    if failure is None:
        return f"{said}, and took effect."
    return f"{said}, and failed at operation {failure['operation']} ({failure['code']}): nothing of it took effect."


def _content(item: Mapping[str, Any]) -> str:
    if item["type"] == "value":
        key = f"key {quoted(bytes.fromhex(item['key_hex']))} of {item['account']}"
        if item["value_hex"] is None:
            return f"{key} is absent"
        return f"{key} has the value {quoted(bytes.fromhex(item['value_hex']))}"
    if item["type"] == "balance":
        return f"{item['account']} holds {item['balance']} of asset {item['asset']}"
    if item["type"] == "authority":
        return settings_words(item["account"], item["custody"])
    if item["type"] == "governance":
        return _governance(item["record"])
    if item["type"] == "proposal":
        return _proposal(item["number"], item["proposal"])
    if item["type"] == "grant":
        return _grant(item["account"], item["to"], item["grant"])
    if item["record"] is None:
        return f"there is no account {item['account']}"
    return f"the account {item['account']} exists, and its next nonce is {item['record']['nonce']}"


def _governance(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return "no seat of an operator has acted yet"
    open_ = ", ".join(str(one["number"]) for one in record["open"]) or "none"
    return (
        f"{record['quorum']} of {len(record['seats'])} operators' seats make a change, the next proposal has number "
        f"{record['next_proposal']}, proposals in the state: {open_}, and pauses in the state: {len(record['pauses'])}"
    )


def _proposal(number: int, proposal: Mapping[str, Any] | None) -> str:
    if proposal is None:
        return f"proposal {number} isn't in the state"
    given = ", ".join(str(one["seat"]) for one in proposal["approvals"])
    made = ", and its change is made and waits" if proposal["made"] else ""
    return (
        f"proposal {number} is to {change_words(proposal['change'])} (hash {proposal['hash']}), until "
        f"{moment(proposal['until_ms'])}, approved by seats {given}{made}"
    )


def _grant(account: str, to: str, grant: Mapping[str, Any] | None) -> str:
    if grant is None:
        return f"{account} lets {to} write nothing"
    prefixes = ", ".join(quoted(bytes.fromhex(digits)) for digits in grant["prefixes_hex"])
    until = "without an end" if grant.get("until_ms") is None else f"until {moment(grant['until_ms'])}"
    rights = " and ".join(grant["rights"])
    return f"{account} lets {to} {rights} keys that begin with {prefixes}, {until}, by a grant of era {grant['era']}"
