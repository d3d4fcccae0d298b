"""What to do about a transaction that is final and failed, by the code in its receipt.

Invariants: PURE; it has each code that a receipt can carry: `tools/failures_page.py` compares it with the Rust sources.
"""

UNKNOWN = "correct it and send a new one"
ADVICE: dict[str, str] = {
    "work-limit": "send it with a higher work limit, or in several transactions",
    "precondition": "read the state again, and send a new one only if it still makes sense",
    "not-allowed": "have the namespace's owner grant this account a prefix of the key, or write to your own namespace",
    "insufficient-balance": "look up the balance, and send a smaller amount or add to the account first",
    "insufficient-storage": "delete or shrink values, or have the account that pays get more storage balance",
    "no-such-account": "check the address, or make the account first with create_account",
    "account-exists": "use the account as it is: its key can sign at once",
    "no-such-key": "nothing is left to do if the key was to be gone; otherwise check its name",
    "bad-amount": "give an amount above zero that keeps the receiver's balance below 2^128",
    "bad-symbol": "name the asset in printable ASCII, with at least one character",
    "too-many-writes": "send it in several transactions, each with fewer writes",
    "not-an-operator": "sign it with an operator's account, or with the validator's owner key where that is enough",
    "no-such-validator": "take the validator's key from `rustorium node list`",
    "validator-exists": "nothing is left to do if it was to be added; otherwise give it keys of its own",
    "committee-size": "add a validator before this one is removed, or remove one before another is added",
    "key-in-use": "make new keys for the validator: no two validators share one",
    "wrong-epoch": "read the current epoch from `rustorium node list`, and name it",
    "already-approved": "wait for the others: this approval, or this wish, counts already",
    "bad-validator": "give a UTF-8 name and an address in printable ASCII",
    "bad-verifier": "check the verifying key, and name its inputs in ascending order and each once",
    "verifier-exists": "use the verifier as it is: its id follows from its key",
    "no-such-verifier": "check the verifier's id, or register it first",
    "bad-proof": "make the proof for this verifier's key, with its number of inputs",
    "not-proved": "check that the inputs are those that were proven, and prove the statement again",
    "input-used": "prove another statement: this input was to be used once, and was",
    "no-such-pool": "name a pool of the chain's genesis",
    "bad-transfer": "scan with the wallet and pay again: the transfer is malformed",
    "old-root": "scan with the wallet and pay again: too many transfers came between",
    "note-spent": "scan with the wallet and pay again: another payment used the note",
    "pool-balance": "take a smaller amount out of the pool",
    "pool-full": "use another pool of the chain: this one takes no more notes",
    "not-possessed": "make the validator's keys with this release, and give the proof that it prints",
    "key-retired": "make new keys for the validator: one that was used before stays retired",
    "replaced-already": "wait for the next epoch, and replace the keys then",
    "bad-authority": "give a delay of at most 30 days, a recovery delay of an hour to 90 days, and another account",
    "nothing-pending": "look up the account's authority: the change is over, or another one waits in its place",
    "not-recovery": "sign it with the account's recovery account",
    "paused": "wait until the pause ends or the operators' seats end it, and send a new one then",
    "wrong-sender": "have an operator's seat, a validator's owner or an account send it, whichever may",
    "no-such-proposal": "look at the open proposals, and name the number and the change of one of them",
    "too-many-proposals": "withdraw one of the seat's proposals, or wait until one ends",
    "stale-proposal": "propose it again: the seats or the wanted parameters changed since",
    "bad-parameters": "change the parameter, the seats or the quorum that is out of range, and propose it again",
    "bad-time": "name a time that is ahead: by seven days at most, and for a sponsor's shares by 90",
    "bad-pause": "name what is paused, or end another pause first",
    "too-soon": "wait for the next epoch, and set the owner then, or have the operators' seats set it",
    "cross-shard": "use accounts of one shard: `shard list` tells which shard has an account",
    "bad-version": "name the version after the chain's own, or the chain's own if an upgrade is wanted",
    "not-lost": "look at `govern list`: have the seats decide, or wait until what they decided is in force",
    "no-such-sponsor": "name the number of a sponsor whose shares haven't ended, or 0 for the common one",
}


def advice(code: str) -> str:
    """Returns what to do about a failure code, as the end of a sentence."""
    return ADVICE.get(code, UNKNOWN)
