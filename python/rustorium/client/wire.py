"""The gateway's HTTP API: encodes requests and parses answers.

Invariants: PURE; every answer that doesn't parse is a BadResponse.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from rustorium.client.settings import settings_of
from rustorium.custody import AccountSettings
from rustorium.errors import (
    AbsenceUnproven,
    Absent,
    BadResponse,
    Busy,
    ChainForked,
    ClientError,
    EpochUnknown,
    NoStateRoot,
    NotFound,
    NotReady,
    ProofPruned,
    ProofRefused,
    ProofTooOld,
    Pruned,
    Refused,
    RustoriumError,
    TlsRefused,
    TrustExpired,
    Unreachable,
    VerificationFailed,
)
from rustorium.health.catalogue import retired_because
from rustorium.plain import CODE_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, plain
from rustorium.types import (
    SUBMISSION_BYTES_MAX,
    SUBMISSION_TRANSACTIONS_MAX,
    Account,
    At,
    Balance,
    Block,
    Evidence,
    Failure,
    Finding,
    Grant,
    NodeStatus,
    Receipt,
    SignedTransaction,
    Subject,
    Submitted,
    TransactionStatus,
    Value,
)

Answer = Mapping[str, Any]
T = TypeVar("T")
SUBMISSION_MEDIA = "application/octet-stream"
RETRY_MS, RETRY_MS_MAX = 100, 60_000
PROBLEM_CHARACTERS_MAX = 300
_U32 = struct.Struct("<I")
OWN_CODES = frozenset(
    kind.code
    for kind in (
        Absent,
        AbsenceUnproven,
        BadResponse,
        ChainForked,
        EpochUnknown,
        ProofRefused,
        ProofTooOld,
        TlsRefused,
        TrustExpired,
        Unreachable,
        VerificationFailed,
    )
)
"""Codes of what only this client can find."""
_NO_EFFECT_YET = ("busy", "pool-full", "sender-full", "unavailable", "not-ready")


def frame(transactions: Iterable[bytes]) -> bytes:
    """Encodes a submission's body: a u32 count, then for each transaction a u32 length and its bytes."""
    parts = list(transactions)
    return _U32.pack(len(parts)) + b"".join(_U32.pack(len(raw)) + raw for raw in parts)


def groups(transactions: list[SignedTransaction]) -> list[list[SignedTransaction]]:
    """Splits into groups of at most 1,000 transactions and 1 MiB, in order."""
    cost = [(transaction, len(transaction.raw) + 4) for transaction in transactions]
    return split(cost, SUBMISSION_TRANSACTIONS_MAX, SUBMISSION_BYTES_MAX - 4)


def split(sized: Iterable[tuple[T, int]], count_max: int, bytes_max: int) -> list[list[T]]:
    """Splits items with sizes into groups of at most `count_max` items and `bytes_max` bytes, in order. A larger item
    forms its own group."""
    result: list[list[T]] = []
    room = 0
    for thing, size in sized:
        if not result or len(result[-1]) == count_max or size > room:
            result.append([])
            room = bytes_max
        result[-1].append(thing)
        room -= size
    return result


def decoded(content: bytes) -> Any:
    """Parses the JSON of a body; `None` if it has none."""
    try:
        return msgspec.json.decode(content) if content else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def parse(what: Callable[[Any], T], answer: object) -> T:
    """Parses an answer by `what`. Errors: BadResponse."""
    try:
        return what(answer)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        name = plain(f"{type(error).__name__}: {error}", PROBLEM_CHARACTERS_MAX)
        raise BadResponse(f"a node's answer can't be read ({name}): it may run another version") from None


def spelled(code: object) -> str:
    """Returns a code in today's spelling: nodes of 0.1.0 join its words by underscores."""
    return plain(str(code).replace("_", "-"), CODE_CHARACTERS_MAX)


def problem(status: int, body: object) -> RustoriumError:
    """Returns the error for a problem+json answer. Its text is the node's; a code of this client's own verdicts is not
    taken from it."""
    fields: Answer = body if isinstance(body, Mapping) else {}
    code = spelled(fields.get("code") or f"http-{status}")
    if code in OWN_CODES:
        code = f"http-{status}"
    detail = str(fields.get("detail") or fields.get("title") or f"the node answered with status {status}")
    message = plain(detail[:1].lower() + detail[1:].rstrip("."), TEXT_CHARACTERS_MAX)
    if code == "no-state-root":
        return NoStateRoot(message)
    if code == "pruned":
        return Pruned(message, oldest=_height(fields.get("oldest")))
    if code == "proof-pruned":
        return ProofPruned(message, nearest=_height(fields.get("nearest")))
    if code == "not-ready":
        return NotReady(message)
    if code in _NO_EFFECT_YET or status in (429, 503):
        return Busy(message, code=code, retry_after_ms=_retry_ms(fields.get("retry_after_ms")))
    if status == 404:
        return NotFound(message, code=code, details=fields)
    if status >= 500:
        return ClientError(message, code=code)
    return Refused(message, code=code, details=fields)


def _retry_ms(field: object) -> int:
    """Returns the time after which to try again, in ms; a sensible value for any input."""
    return min(max(field, 1), RETRY_MS_MAX) if isinstance(field, int) else RETRY_MS


def _height(field: object) -> int | None:
    return field if isinstance(field, int) else None


def submitted(answer: Answer, shard: int) -> Submitted | Refused | str:
    """Returns one result of a submission to a shard: milestone, refusal, or a string if the outcome is open."""
    status = spelled(answer["status"])
    if status == "accepted":
        return Submitted(str(answer["id"]), "accepted")
    if status == "final":
        return Submitted(str(answer["id"]), "final", receipt(answer["receipt"], shard))
    if status == "certified":
        proof = bytes.fromhex(answer["proof_hex"])
        return Submitted(str(answer["id"]), "certified", receipt(answer["receipt"], shard), proof)
    if status == "timed-out":
        return str(answer["id"])
    if status == "refused":
        message = plain(str(answer["message"]).rstrip("."), TEXT_CHARACTERS_MAX)
        code = spelled(answer["code"])
        if answer.get("retry_after_ms") is not None or code in _NO_EFFECT_YET:
            return Busy(message, code=code, retry_after_ms=_retry_ms(answer.get("retry_after_ms")))
        return Refused(message, code=code, details=answer)
    raise ValueError(f"unknown status {status!r}")


def at(answer: Answer) -> At:
    place = answer["at"]
    return At(int(place["height"]), str(place["root"]), int(place["shard"]))


def shard_of(answer: Answer) -> int:
    """The shard that an answer is of. A submission that was refused as a whole names none."""
    return int(answer["at"]["shard"]) if "at" in answer else 0


def proven_receipt(facts: Answer) -> Receipt:
    """The receipt that a checked proof shows."""
    return receipt(facts["receipt"], int(facts["shard"]))


def receipt(answer: Answer, shard: int) -> Receipt:
    """A receipt of a shard. What is around it names the shard, or its event's id does."""
    failure = answer.get("failure")
    if answer["outcome"] not in ("ok", "failed") or (answer["outcome"] == "failed") != (failure is not None):
        raise ValueError("outcome and failure don't fit")
    return Receipt(
        transaction=str(answer["id"]),
        sender=str(answer["sender"]),
        nonce=int(answer["nonce"]),
        height=int(answer["height"]),
        index=int(answer["index"]),
        time_ms=int(answer["time_ms"]),
        work=int(answer["work"]),
        failure=Failure(spelled(failure["code"]), int(failure["operation"])) if failure is not None else None,
        shard=shard,
    )


def transaction_status(answer: Answer) -> TransactionStatus:
    state = answer["status"]
    if state == "pending":
        return TransactionStatus(str(answer["id"]), "pending")
    if state not in ("final", "certified"):
        raise ValueError(f"unknown status {state!r}")
    shown = dict(answer.get("transaction") or {})
    found = receipt(answer["receipt"], shard_of(answer))
    return TransactionStatus(str(answer["id"]), "final", found, state == "certified", shown)


def account(answer: Answer) -> Account:
    return Account(
        address=str(answer["account"]),
        nonce=int(answer["nonce"]),
        quota_left=int(answer["quota_left"]),
        storage_bytes_left=int(answer["storage_bytes_left"]),
        at=at(answer),
        history_left=number_in(answer, "history_left"),
        sponsor=number_in(answer, "sponsor"),
        grants_era=number_in(answer, "grants_era") or 0,
        **signer(answer),
    )


def grant(account: str, to: str, held: Mapping[str, Any], at: At, valid: bool | None = None) -> Grant:
    """Returns a grant from the API's JSON. Errors: KeyError, TypeError, ValueError."""
    prefixes = tuple(bytes.fromhex(digits) for digits in held["prefixes_hex"])
    rights = tuple(str(right) for right in held["rights"])
    return Grant(account, to, rights, prefixes, number_in(held, "until_ms"), int(held["era"]), at, valid)


def number_in(record: Mapping[str, Any], name: str) -> int | None:
    """Returns a number of a record that nodes of earlier versions don't say; `None` if it is missing."""
    value = record.get(name)
    return None if value is None else int(value)


def settings(answer: Answer) -> AccountSettings | None:
    return settings_of(str(answer["account"]), answer["custody"])


def signer(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an account's key, or the hash of its authority, and the state of its settings, from its record. Errors:
    ValueError."""
    key, authority, custody = record.get("public_key"), record.get("authority_hash"), record.get("custody")
    found = {"public_key": key, "authority_hash": authority, "custody": custody}
    if custody not in (None, "settled", "pending"):
        raise ValueError(f"a record's custody is settled or pending, not {custody!r:.100}")
    if [type(key), type(authority)] not in ([str, type(None)], [type(None), str]):
        raise ValueError(f"a record has one key or one authority, not {found!r:.200}")
    return found


def next_nonce(answer: Answer) -> tuple[int, int | None]:
    """Returns an account's next nonce, and the protocol version of the chain's epoch; `None` from nodes of earlier
    versions, which don't say it."""
    version = answer.get("protocol")
    return account(answer).nonce, None if version is None else protocol_version(version)


def protocol_version(said: object) -> int:
    """Returns a protocol version, which takes two bytes. Errors: ValueError."""
    if not isinstance(said, int) or not 0 < said < 2**16:
        raise ValueError(f"{said!r:.100} is no protocol version")
    return said


def value(answer: Answer) -> Value:
    held = value_of(answer)
    if held is None:
        raise ValueError("the answer has no value")
    return Value(str(answer["namespace"]), bytes.fromhex(answer["key_hex"]), held, at(answer))


def value_of(answer: Answer) -> bytes | None:
    """Returns the value in an answer, given as text or hex digits; `None` if there is none. Earlier nodes send both."""
    digits = answer.get("value_hex")
    if digits is not None:
        return bytes.fromhex(digits)
    text = answer.get("value")
    return text.encode() if text is not None else None


def balance(answer: Answer) -> Balance:
    return Balance(str(answer["account"]), str(answer["asset"]), int(answer["balance"]), at(answer))


def block(answer: Answer) -> Block:
    header = answer["header"]
    return Block(
        height=int(header["height"]),
        digest=str(answer["digest"]),
        view=int(header["view"]),
        parent=str(header["parent"]),
        proposer=int(header["proposer"]),
        time_ms=int(header["time_ms"]),
        transactions=int(header["transactions"]),
        claimed_height=int(header["result"]["height"]),
        root=str(answer["at"]["root"]),
        raw=bytes.fromhex(answer.get("block_hex") or ""),
        proof=bytes.fromhex(answer.get("proof_hex") or ""),
        shard=int(answer["at"]["shard"]),
    )


def proof(answer: Answer) -> bytes:
    """Returns the canonical bytes of a requested proof."""
    return bytes.fromhex(answer["proof_hex"])


def epoch_changes(answer: Answer) -> list[bytes]:
    """Returns the canonical bytes of epoch changes, in order."""
    return [bytes.fromhex(change["change_hex"]) for change in answer["changes"]]


def question(subject: Subject) -> dict[str, Any]:
    """Returns a subject in the API's JSON form."""
    if subject.authority:
        return {"account": subject.account, "authority": True}
    if subject.governance:
        return {"account": subject.account, "governance": True}
    if subject.proposal is not None:
        return {"account": subject.account, "proposal": subject.proposal}
    if subject.grant is not None:
        return {"account": subject.account, "grant": subject.grant}
    if subject.asset is not None:
        return {"account": subject.account, "asset": subject.asset}
    if subject.key is not None:
        return {"account": subject.account, "key_hex": subject.key.hex()}
    return {"account": subject.account}


SHARDS_MAX = 16
"""Maximum number of shards that a node hosts."""


def node_status(answer: Answer, *, with_shards: bool = True) -> NodeStatus:
    others = answer.get("shards", ()) if with_shards else ()
    if len(others) >= SHARDS_MAX:
        raise ValueError(f"a node hosts at most {SHARDS_MAX} shards")
    return NodeStatus(
        node=str(answer["node"]),
        chain=str(answer["chain"]),
        height=int(answer["height"]),
        view=int(answer["view"]),
        epoch=int(answer["epoch"]),
        executed=int(answer["at"]["height"]),
        shard=int(answer["at"]["shard"]),
        claimed=int(answer["claimed"]["height"]),
        peers_up=int(answer["peers_up"]),
        pool_transactions=int(answer["pool_transactions"]),
        durability=str(answer["durability"]),
        ready=bool(answer["ready"]),
        reason=str(answer.get("not_ready_because") or ""),
        raw=dict(answer),
        unreachable=tuple(str(name) for name in answer["unreachable"]),
        role=str(answer["role"]),
        retired=retired_because(answer.get("key_retired_because")),
        evidence=tuple(evidence(one) for one in answer["evidence"]),
        filling=answer.get("filling"),
        # Nodes of earlier versions don't say it.
        protocol=int(answer.get("protocol", 0)),
        older=tuple(str(name) for name in answer.get("older", ())),
        # Nodes of earlier versions report no findings.
        findings=tuple(finding(one) for one in answer.get("findings", ())),
        governance=governance_note(answer.get("governance")),
        shards=tuple(node_status(one, with_shards=False) for one in others),
    )


def governance_note(answer: Answer | None) -> Answer | None:
    """Returns what waits for operators' seats, as a node reports it; `None` if it reports nothing."""
    if answer is None:
        return None
    _ = (int(answer["seats"]), int(answer["quorum"]))
    for proposal in answer["proposals"]:
        _ = (int(proposal["number"]), str(proposal["change"]), int(proposal["until_ms"]))
        _ = ([int(seat) for seat in (*proposal["approvals"], *proposal["not_approved"])], bool(proposal["made"]))
    for pause in answer["pauses"]:
        _ = (str(pause.get("account")), int(pause["until_ms"]))
    _replacement(answer)
    _upgrade(answer)
    return answer


def progress(answer: Answer) -> tuple[str, int, str]:
    """Returns a node's chain, its newest height, final or executed, and why it isn't ready; empty if it is."""
    found = node_status(answer)
    height = max(found.height, found.executed, found.claimed)
    unready = "" if found.ready else plain(found.reason, TEXT_CHARACTERS_MAX) or "it doesn't say why"
    return plain(found.chain, CODE_CHARACTERS_MAX), height, unready


def committee(answer: Answer) -> Answer:
    """Returns the committee as a node reports it: its epoch, whether another was asked for, and its validators."""
    int(answer["epoch"])
    for validator in answer["validators"]:
        _ = (validator["name"], validator["validator_key"], validator["region"], validator["address"])
    return answer


def _replacement(answer: Answer) -> None:
    found = answer.get("replacement")
    if found is not None:
        _ = ([str(key) for key in found["operators"]], int(found["quorum"]), int(found["from_ms"]))


def _upgrade(answer: Answer) -> None:
    found = answer.get("upgrade")
    if found is not None:
        _ = (int(found["version"]), int(found["not_before_ms"]), int(found["needed"]))
        _ = [str(name) for name in (*found["speaking"], *found["silent"])]


def governance(answer: Answer) -> Answer:
    """Returns who governs as a node reports it."""
    _ = (int(answer["quorum"]), int(answer["time_ms"]), int(answer["next_proposal"]), dict(answer["wanted"]))
    _ = (str(answer["wanted_hash"]), str(answer["in_force_hash"]))
    _ = (int(answer["operators_from_ms"]), int(answer["operators_delay_ms"]), int(answer["owners_recover_ms"]))
    _replacement(answer)
    _upgrade(answer)
    for seat in answer["seats"]:
        _ = (int(seat["number"]), str(seat["sender"]), str(seat["first_key"]), int(seat["nonce"]), int(seat["room"]))
    for owner in answer["owners"]:
        _ = (int(owner["number"]), str(owner["sender"]), str(owner["validator_key"]), str(owner["owner_key"]))
        _ = (int(owner["nonce"]), int(owner["room"]), bool(owner["changed"]))
        _ = (str(owner.get("wish")), int(owner.get("wish_until_ms", 0)))
    for one in answer["proposals"]:
        _ = (int(one["number"]), int(one["seat"]), int(one["until_ms"]), str(one["hash"]), one["change"]["type"])
        _ = ([int(seat) for seat in one["approvals"]], bool(one["made"]))
    _ = [int(one["until_ms"]) for one in answer["pauses"]]
    return answer


def in_force(answer: Answer) -> Answer:
    """Returns the rules of the current epoch as a node reports them: its protocol version, its parameters, and the
    epoch since which these are in force."""
    # Nodes of earlier versions know those of the genesis alone.
    genesis = {"version": answer["version"], "parameters": answer["parameters"], "since_epoch": 0}
    found = answer.get("in_force", genesis)
    parameters = dict(found["parameters"])
    # Chains of version 1 have no least age of an epoch.
    parameters["min_epoch_ms"] = int(parameters.get("min_epoch_ms") or 0)
    return {
        "version": protocol_version(found["version"]),
        "since_epoch": int(found["since_epoch"]),
        "parameters": parameters,
    }


def finding(answer: Answer) -> Finding:
    return Finding(
        code=spelled(answer["code"]),
        severity=str(answer["severity"]),
        evidence=str(answer["evidence"]),
        advice=str(answer["advice"]),
        since_ms=int(answer["since_ms"]),
    )


def evidence(answer: Answer) -> Evidence:
    return Evidence(
        validator=int(answer["validator"]),
        name=str(answer["name"]),
        kind=spelled(answer["kind"]),
        first=str(answer["first"]),
        count=int(answer["count"]),
        validator_key=str(answer.get("validator_key", "")),
        first_ms=int(answer.get("first_ms", 0)),
        member=bool(answer.get("member", True)),
    )
