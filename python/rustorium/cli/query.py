"""`query`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import (
    CheckpointOption,
    EncodingHelp,
    GenesisOption,
    MaxAgeOption,
    NetOption,
    NodeOption,
    ProofOutOption,
    TimeoutOption,
    TokenFileOption,
    TrustFileOption,
    TrustOptions,
    TrustPeriodOption,
    WitnessOption,
    client_of,
    readable,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note, write_proof

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rustorium.client import Client
    from rustorium.types import Account, Balance, ProvenState, Signers, Subject, SubjectContent, Value


def query(
    account: Annotated[str, typer.Option("--account", help="Address of the account.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Keys in the account's namespace. Without keys, show the account.", metavar="KEY"),
    ] = None,
    asset: Annotated[str | None, typer.Option(help="Show the account's balance of this asset (hex).")] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            help='List the keys that begin with this text ("" lists all), in no meaningful order. The list has no '
            "proof."
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="State to read: proven (waits for a certified root that covers everything final at the node that "
            "answers), fresh (everything final at two nodes), a height, or latest with --no-verify."
        ),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Check the proof against the genesis.")] = True,
    proof_out: ProofOutOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    checkpoint: CheckpointOption = None,
    trust_file: TrustFileOption = None,
    trust_period: TrustPeriodOption = None,
    max_age: MaxAgeOption = None,
    witness: WitnessOption = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """Read an account, its keys or a balance, and check the proof in the node's answer; or list keys without a
    proof."""
    from rustorium.client import bytes_to_text, text_to_bytes
    from rustorium.errors import Absent, NotFound, UsageError
    from rustorium.types import Account, Balance, Subject, Value

    if sum((bool(names), asset is not None, prefix is not None)) > 1:
        raise UsageError("a key, a prefix and an asset are different questions: ask one at a time")
    if prefix is not None:
        if proof_out is not None or not (at is None or at == "latest" or at.isdigit()):
            raise UsageError(
                "a list has no proof, and --at must be latest or a height: read the keys one by one to have them proved"
            )
        with client_of(net, node, genesis, timeout_s, checkpoint, token_file=token_file) as client:
            height = int(at) if at is not None and at.isdigit() else None
            emit(list(_listed(client, account, text_to_bytes(prefix, encoding), height, encoding)), output)
            note("On the word of the node: a list has no proof. `query` of a key proves its value or its absence.")
        return
    where = at or ("proven" if verify else "latest")
    if where not in ("proven", "fresh", "latest") and not where.isdigit():
        raise UsageError(f"--at must be proven, fresh, latest or a height, not {where!r}")
    if not verify and where == "fresh":
        raise UsageError("only a proof shows that an answer is fresh: leave out --no-verify")
    if verify and where == "latest":
        raise UsageError("the newest state has no certified root yet: leave out --at, or add --no-verify")
    if not verify and (proof_out or trust_file or trust_period or max_age or witness):
        raise UsageError(
            "--proof-out, --trust-file, --trust-period, --max-age and --witness need a proof: leave out --no-verify"
        )
    contents = (Account, Balance, Value)
    subjects = [Subject(account, key=text_to_bytes(name, encoding)) for name in dict.fromkeys(names or [])]
    subjects = subjects or [Subject(account, asset=asset.lower() if asset is not None else None)]
    trust = TrustOptions(trust_file, trust_period, max_age, witness or ())
    with client_of(net, node, genesis, timeout_s, checkpoint, token_file=token_file, trust=trust) as client:
        items: Mapping[Subject, SubjectContent]
        signers: Signers | None = None
        proven, time_ms = False, None
        if verify:
            state = _proven(client, subjects, where, proof_out)
            items, height, signers = state.items, state.at.height, state.claim.signed_by
            proven, time_ms = state.at.proven, state.claim.time_ms
            _note_alone(client, where)
            if not proven:
                note(
                    "From the genesis file, signed by nobody: no block was shown. The chain may have gone on, so ask "
                    "another node, too."
                )
        else:
            items = {subject: client.held(subject, at=where) for subject in subjects}
            height = max(held.at.height for held in items.values() if isinstance(held, contents))
    held_rows = (_row(held, encoding) for held in items.values() if isinstance(held, contents) and not _is_absent(held))
    rows = [row | {"time_ms": time_ms} for row in held_rows]
    _show(rows, signers, output)
    absent = [subject for subject in subjects if _is_absent(items[subject])]
    if absent:
        what = ", ".join(bytes_to_text(subject.key, encoding) for subject in absent if subject.key is not None)
        if proven:
            are = "are" if len(absent) > 1 else "is"
            raise Absent(f"{what or account} {are} proven to be absent at height {height}")
        how = "by the genesis file alone," if verify else "on the node's word,"
        raise NotFound(f"{what or account} {'are' if len(absent) > 1 else 'is'} absent, {how} at height {height}")


def _show(rows: "list[dict[str, object]]", signers: "Signers | None", output: Format) -> None:
    """Prints a list, however many rows it has; one row as a table is printed one field a line. A note below a table of
    several names their signers."""
    shown: dict[str, object] = {"signed_by": signers.to_dict() if signers is not None else None}
    if output is not Format.table and rows:
        emit([row | shown for row in rows], output)
    elif len(rows) == 1:
        emit_one(rows[0] | (shown if signers is not None else {}), output)
    elif rows:
        emit(rows, output)
        if signers is not None:
            note(f"Signed by {signers}.")


def _note_alone(client: "Client", where: str) -> None:
    if where == "fresh" and len(client.endpoints) == 1 and not client.light.of_one_validator():
        note("One node alone was asked, so that this is the newest state is on its word: name another --node.")


def _proven(client: "Client", subjects: "list[Subject]", where: str, proof_out: Path | None) -> "ProvenState":
    """Returns proven content, and writes a proof file for others if requested."""
    if proof_out is None and not where.isdigit():
        return client.proven(subjects, at="fresh" if where == "fresh" else "current")
    state = client.prove(subjects, at=int(where) if where.isdigit() else "fresh" if where == "fresh" else "current")
    if proof_out is not None:
        write_proof(proof_out, state.proof)
    return state


def _listed(
    client: "Client", account: str, prefix: bytes, height: int | None, encoding: str
) -> "Iterator[dict[str, object]]":
    """Yields the keys of all pages, as rows."""

    page = client.list_keys(account, prefix, at=height, limit=100)
    while True:
        for found in page.keys:
            (key,), shown = readable(encoding, found.key)
            yield {"key": key, "value_bytes": found.value_bytes, "value_hash": found.value_hash, "encoding": shown}
        if page.next_cursor is None:
            return
        page = client.list_keys(account, prefix, cursor=page.next_cursor, limit=100)


def _is_absent(held: "SubjectContent") -> bool:
    from rustorium.types import Value

    return held is None or (isinstance(held, Value) and held.value is None)


def _row(held: "Account | Balance | Value", encoding: str) -> dict[str, object]:
    from rustorium.types import Account, Balance

    where: dict[str, object] = {"height": held.at.height, "root": held.at.root, "proven": held.at.proven}
    if isinstance(held, Account):
        names = ("address", "nonce", "public_key", "authority_hash", "quota_left", "history_left", "sponsor")
        return {name: getattr(held, name) for name in (*names, "storage_bytes_left")} | where
    if isinstance(held, Balance):
        return {"account": held.account, "asset": held.asset, "amount": str(held.amount)} | where
    (key, value), shown = readable(encoding, held.key, held.value)
    return {"key": key, "value": value, "encoding": shown} | where
