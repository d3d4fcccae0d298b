"""Says in words what the keys of an account are asked to sign, and what operations do.

Invariants: no input or output; the words are made from the described bytes alone; each line is one line whatever those
contain; long content is named by its length and hash.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rustorium import _native
from rustorium.client.moments import moment
from rustorium.client.settings import authority_words, rule_words
from rustorium.custody import Authority, Recovery
from rustorium.errors import UsageError
from rustorium.plain import plain

SHOWN_CHARACTERS_MAX = 200
"""Maximum number of characters of a key, a value or a field; of longer ones the beginning is shown, and the hash."""
VERBS = {"put": "set", "delete": "remove"}
"""Rights of a grant as verbs."""


def describe(chain: str, facts: Mapping[str, Any]) -> list[str]:
    """Returns the lines about a transaction of version 2 (`UnsignedTransaction.describe`).

    Errors: UsageError if this release has no words for one of its operations."""
    keys = facts["authority"]["keys"]
    lines = [
        f"transaction {facts['id']} of chain {chain}",
        f"of account {facts['sender']}, with nonce {facts['nonce']}, valid until {moment(facts['expires_at_ms'])}, for "
        f"at most {facts['work_limit']} units of work",
        f"to be signed by {facts['authority']['threshold']} of these keys: {', '.join(keys)}",
    ]
    if (location := facts["location"]) is not None:
        lines.append(f"sent from the location {json.dumps(location)}")
    for number, operation in enumerate(facts["operations"]):
        lines.append(f"operation {number}: {words(number, operation, facts['sender'])}")
    return lines


def words(number: int, operation: Mapping[str, Any], sender: str) -> str:
    """Returns one operation in words, to be signed. Errors: UsageError if this release has none for it."""
    if operation["type"] == "later":
        raise UsageError(
            f"operation {number} is of a kind that this release can't show: sign it with the release that made the file"
        )
    return shown(operation, sender)


def shown(operation: Mapping[str, Any], sender: str) -> str:
    """Returns one operation in words, also one of a kind that this release only knows by its bytes."""
    kind = operation["type"]
    said = next(_known(kind, operation, sender), None) or next(_recovering(kind, operation), None)
    if said is None:
        fields = (f"{name} = {_field(value)}" for name, value in sorted(operation.items()) if name != "type")
        said = f"{kind.replace('_', ' ')}: {', '.join(fields)}"
    return said


def named(operation: Mapping[str, Any], sender: str) -> str:
    """Returns an operation in words, for a sentence that goes on; nothing if its author wrote it in other fields than
    are shown."""
    try:
        return f"{shown(operation, sender)}; "
    except (KeyError, ValueError, TypeError, AttributeError, UsageError):
        return ""


def _known(kind: str, operation: Mapping[str, Any], sender: str) -> Iterator[str]:
    """Yields the sentence of a common kind of operation; of others, nothing."""
    match kind:
        case "put":
            value = operation.get("value")
            content = value.encode() if value is not None else bytes.fromhex(operation["value_hex"])
            yield f"set {_key(operation)} to {quoted(content)} in {_space(operation, sender)}"
        case "delete":
            yield f"remove {_key(operation)} from {_space(operation, sender)}"
        case "transfer":
            yield f"transfer {operation['amount']} of asset {operation['asset']} to {operation['to']}"
        case "issue":
            symbol = quoted(bytes.fromhex(operation["symbol_hex"]))
            yield f"create {operation['amount']} of the account's asset {symbol} for {operation['to']}"
        case "create_account":
            yield (
                f"make the account of {_signers(operation)} in region {operation['region']}, and give it "
                f"{operation['storage_bytes']} bytes of storage"
            )
        case "grant":
            yield _grant(operation)
        case "set_authority":
            yield _settings(operation)
        case "require":
            yield f"fail unless {_condition(operation['condition'], sender)}"
        case "propose":
            yield f"propose, until {moment(operation['until_ms'])}, to {change_words(operation['change'])}"
        case "approve":
            yield f"approve proposal {operation['number']}, if its change has the hash {operation['change']}"
        case "withdraw":
            yield f"take the approval of proposal {operation['number']} back"
        case _:
            pass


def _recovering(kind: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """Yields the sentence of an operation on a change that waits, or on another one's keys; of others, nothing."""
    account = operation.get("account")
    match kind:
        case "cancel_authority":
            yield "cancel the change of the account's keys that waits, or its recovery if that isn't final"
        case "approve_authority":
            yield (
                f"let the change of keys with the hash {operation['change']} that the keys of {account} began take "
                "effect at once"
            )
        case "recover":
            yield (
                f"as its recovery account, give the account {account} to {_authority(operation['authority'])} after "
                "its recovery delay; all grants that it made become void then"
            )
        case "withdraw_recovery":
            yield f"withdraw the recovery of the account {account} that this account began"
        case "set_owner":
            yield owner_words(operation)
        case "recover_operators":
            wanted = change_words({**operation, "type": "set_operators"})
            yield f"as a validator's owner, wish in place of lost operators to {wanted}"
        case _:
            pass


def change_words(change: Mapping[str, Any]) -> str:
    """Returns a change that operators' seats decide, as the end of a sentence."""
    match change["type"]:
        case "set_parameters":
            fields = change["parameters"]
            shown_ones = ", ".join(f"{name} = {_field(fields[name])}" for name in sorted(fields))
            return (
                f"change the chain's parameters, if those wanted now have the hash {change['base']}, to: {shown_ones}"
            )
        case "set_operators":
            keys = ", ".join(change["operators"])
            return (
                f"make {change['quorum']} of these keys the chain's operators, if the parameters wanted now have the "
                f"hash {change['base']}: {keys}"
            )
        case "pause":
            return f"pause {_paused(change)} until {moment(change['until_ms'])}"
        case "resume":
            return f"end the pause of {_paused(change)}"
        case "set_sponsor":
            return _sponsor(change)
        case "assign_sponsor":
            number = change["sponsor"]
            named = "the common sponsor" if number == 0 else f"sponsor {number}"
            return f"have the account {change['account']} draw from {named}"
        case "upgrade":
            return (
                f"have the chain go on by protocol version {change['version']} from the first epoch's end on, not "
                f"before {moment(change['not_before_ms'])}, at which enough members speak it; or stay with it, if the "
                "chain has it already"
            )
        case "end_epoch":
            return f"end epoch {change['epoch']} as soon as it can end"
        case "remove_validator":
            return f"remove the validator with key {change['validator_key']} from the next epoch on"
        case "set_owner":
            return owner_words(change)
        case kind:
            fields_of = ((name, value) for name, value in sorted(change.items()) if name != "type")
            return f"{kind.replace('_', ' ')}: {', '.join(f'{name} = {_field(value)}' for name, value in fields_of)}"


def owner_words(change: Mapping[str, Any]) -> str:
    """Returns a change of a validator's owner, as the end of a sentence."""
    return (
        f"let the key {change['new_owner_key']} own the validator with key {change['validator_key']} from the next "
        "epoch on, in place of its present owner's"
    )


def _sponsor(change: Mapping[str, Any]) -> str:
    """Returns a change of a sponsor's shares as the end of a sentence."""
    until_ms = change.get("until_ms")
    end = "" if until_ms is None else f" until {moment(until_ms)}, and what it has now again from then on"
    work, history = (f"{change[name] / 10_000:g} %" for name in ("work_ppm", "history_ppm"))
    return f"give the sponsor of the account {change['account']} {work} of the work and {history} of the history{end}"


def _paused(change: Mapping[str, Any]) -> str:
    account = change.get("account")
    return "all accounts" if account is None else f"the account {account}"


def _signers(operation: Mapping[str, Any]) -> str:
    """Returns the keys of a new account."""
    authority = operation.get("authority")
    if authority is None:
        return f"key {operation['public_key']}"
    return _authority(authority)


def _authority(authority: Mapping[str, Any]) -> str:
    return authority_words(Authority(authority["threshold"], authority["keys"]))


def _settings(operation: Mapping[str, Any]) -> str:
    """Returns a change of settings. Later changes wait, and are recovered, by the rule that it says."""
    named = operation.get("recovery")
    recovery = None if named is None else Recovery(named["account"], named["delay_ms"], final=named["final"])
    said = (
        f"let {_authority(operation['authority'])} act for the account from then on, and no other keys; then "
        f"{rule_words(operation.get('delay_ms', 0), recovery)}"
    )
    if operation.get("void_grants"):
        said = f"{said}; all grants that the account made before become void with it"
    return said


def _grant(operation: Mapping[str, Any]) -> str:
    prefixes = [bytes.fromhex(digits) for digits in operation["prefixes_hex"]]
    rights = [VERBS[right] for right in operation.get("rights") or ()] if "rights" in operation else ["set and remove"]
    if not prefixes or not rights:
        return f"no longer let {operation['to']} write any key"
    until_ms = operation.get("until_ms")
    end = f", until {moment(until_ms)}" if until_ms is not None else ""
    verbs = " and ".join(rights)
    if not all(prefixes):
        return f"let {operation['to']} {verbs} every key in the account's namespace{end}"
    said = ", ".join(map(quoted, prefixes))
    return f"let {operation['to']} {verbs} keys that begin with {said} in the account's namespace, and no others{end}"


def _condition(one: Mapping[str, Any], sender: str) -> str:
    """Returns a condition as the end of a sentence."""
    match one["type"]:
        case "value_hash":
            return f"{_key(one)} in {_space(one, sender)} has a value whose BLAKE3 hash is {one['hash']}"
        case "absent":
            return f"{_key(one)} in {_space(one, sender)} has no value"
        case "balance_at_least":
            return f"{one['account']} holds at least {one['amount']} of asset {one['asset']}"
        case "proved":
            value = one.get("value")
            named = f"the value {value}" if value is not None else "this transaction's id as its value"
            return f"a proof of verifier {one['verifier']} is recorded whose input {one['input']} has {named}"
        case _:
            return f"this holds: {_field(one)}"


def _key(operation: Mapping[str, Any]) -> str:
    return f"key {quoted(bytes.fromhex(operation['key_hex']))}"


def _space(operation: Mapping[str, Any], sender: str) -> str:
    own = operation["namespace"] == sender
    return "the account's namespace" if own else f"the namespace of {operation['namespace']}"


def quoted(content: bytes) -> str:
    """Returns bytes as quoted text, or as hex digits if they aren't text."""
    try:
        text = json.dumps(content.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        text = f"the bytes {content.hex()}"
    return _short(plain(text), content)


def _field(value: object) -> str:
    text = plain(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return _short(text, text.encode())


def _short(text: str, content: bytes) -> str:
    if len(text) <= SHOWN_CHARACTERS_MAX:
        return text
    digest = _native.value_hash(content).hex()
    return f"{text[:SHOWN_CHARACTERS_MAX]}… ({len(content)} bytes in all, BLAKE3 {digest})"
