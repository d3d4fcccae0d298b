"""The subjects that a transaction's operations write; a proof of them shows the effect.

Invariants: PURE; every kind of operation is covered; signing reports operations that can't be read.
"""

from collections.abc import Mapping, Sequence

from rustorium import _native
from rustorium.api import Operation
from rustorium.types import Subject


def subjects_of(operations: Sequence[Operation], signer: str) -> list[Subject]:
    """Returns each subject once, in order. The signer's account, whose nonce every transaction uses, comes last."""
    found: list[Subject] = []
    for operation in operations:
        kind = operation.get("type")
        if kind in ("put", "delete"):
            found.append(Subject(str(operation["namespace"]), key=_key(operation)))
        elif kind == "transfer":
            asset = str(operation["asset"])
            found += [Subject(signer, asset=asset), Subject(str(operation["to"]), asset=asset)]
        elif kind == "shield":
            found.append(Subject(signer, asset=str(operation["asset"])))
        elif kind == "unshield":
            found.append(Subject(str(operation["to"]), asset=str(operation["asset"])))
        elif kind == "issue":
            symbol = operation.get("symbol")
            text = symbol if isinstance(symbol, str) else bytes.fromhex(str(operation["symbol_hex"])).decode()
            found.append(Subject(str(operation["to"]), asset=_native.asset_id(signer, text)))
        elif kind == "create_account":
            region, authority = operation["region"], operation.get("authority")
            if isinstance(authority, Mapping) and isinstance(region, int):
                address, _ = _native.authority_names(region, authority["threshold"], authority["keys"])
                found.append(Subject(address))
            elif isinstance(region, int):
                found.append(Subject(_native.account_id(region, bytes.fromhex(str(operation["public_key"])))))
        elif kind in ("set_authority", "cancel_authority"):
            found.append(Subject(signer, authority=True))
        elif kind in ("approve_authority", "recover", "withdraw_recovery"):
            account = str(operation["account"])
            found += [Subject(account), Subject(account, authority=True)]
    return list(dict.fromkeys([*found, Subject(signer)]))


def _key(operation: Operation) -> bytes:
    digits = operation.get("key_hex")
    return bytes.fromhex(digits) if isinstance(digits, str) else str(operation["key"]).encode()
