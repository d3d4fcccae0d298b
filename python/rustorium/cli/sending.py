"""The end of each command that makes a transaction: it is signed and sent, or written to a file that several keys sign.

Invariants: a file is written only with --unsigned, and then no key is opened.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import (
    GenesisOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    content_of,
    duration,
    key_of,
)
from rustorium.cli.output import note

if TYPE_CHECKING:
    from rustorium.api import Operation
    from rustorium.client import Client, SigningFile
    from rustorium.types import Authority, Submitted

SenderKeyOption = Annotated[
    Path | None,
    typer.Option("--key", help="Key file of the account that signs, or unix:SOCKET?key=PUBLIC_KEY."),
]
UnsignedOption = Annotated[
    Path | None,
    typer.Option(
        "--unsigned",
        help="Write the transaction to this new file, which `tx sign` signs and `tx send` sends, instead of sending it "
        "with --key.",
    ),
]
AccountOption = Annotated[
    str | None, typer.Option("--account", help="With --unsigned: address of the account whose transaction it is.")
]
AuthorityOption = Annotated[
    Path | None,
    typer.Option(
        "--authority",
        help="With --unsigned, for an account of several keys: file that `keys authority new` made.",
    ),
]
NonceOption = Annotated[
    int | None,
    typer.Option("--nonce", min=0, help="With --unsigned: the account's nonce. Default: the next one that is proven."),
]
VALID = duration("--valid-for", text="With --unsigned: time until the transaction can't be executed any more.")
ValidOption = Annotated[float, VALID]
VALID_S = 12 * 3600.0

WaitOption = Annotated[str, typer.Option("--wait", help="What to wait for: accepted, final or certified.")]

MakeOperations = Callable[[str], "list[Operation]"]
"""Returns the operations of the account with this address. Errors: UsageError."""


@dataclass(frozen=True)
class Reaching:
    """The options that say which net is asked."""

    net: NetOption = None
    node: NodeOption = None
    genesis: GenesisOption = None
    token_file: TokenFileOption = None
    timeout_s: TimeoutOption = 10.0

    def client(self) -> "Client":
        """Returns a client of the named net or nodes. Errors: UsageError, KeyFileError."""
        return client_of(self.net, self.node, self.genesis, self.timeout_s, token_file=self.token_file)


@dataclass(frozen=True)
class Sending(Reaching):
    """The options that say who sends a transaction to which net, or to which file it is written."""

    timeout_s: TimeoutOption = 30.0
    key: SenderKeyOption = None
    passphrase_file: PassphraseOption = None
    wait: WaitOption = "final"
    unsigned: UnsignedOption = None
    account: AccountOption = None
    authority: AuthorityOption = None

    def of_file(self) -> tuple[int | None, float]:
        """Returns the nonce and the time, in seconds, that are given for a transaction in a file."""
        return None, VALID_S

    def finish(self, make: MakeOperations) -> tuple[dict[str, object], str]:
        """Sends the transaction, or writes it to the file of --unsigned. Returns the row to print, and the account's
        address. Errors: those of the client, UsageError, FileExists."""
        from rustorium.client import wait_of
        from rustorium.errors import UsageError

        reached = wait_of(self.wait)
        if self.unsigned is not None:
            return self._write(self.unsigned, make)
        if self.account is not None or self.authority is not None or self.of_file()[0] is not None:
            raise UsageError("--account, --authority and --nonce are for a file to be signed: name it with --unsigned")
        if self.key is None:
            raise UsageError("nobody signs: give --key FILE, or --unsigned FILE and --account ADDRESS to sign later")
        signer = key_of(self.key, self.passphrase_file)
        operations = make(signer.address)
        with self.client() as client:
            return submitted_row(client.send(operations, key=signer, wait=reached)), signer.address

    def _write(self, out: Path, make: MakeOperations) -> tuple[dict[str, object], str]:
        from rustorium.access.files import write_new
        from rustorium.errors import UsageError

        if self.key is not None:
            raise UsageError("--key signs and sends at once, --unsigned writes a file for `tx sign`: give only one")
        if self.account is None:
            raise UsageError("nothing says whose transaction it is: give the address with --account")
        authority = read_authority(self.authority) if self.authority is not None else None
        nonce, valid_s = self.of_file()
        with self.client() as client:
            file = client.prepare(
                make(self.account),
                account=self.account,
                authority=authority,
                nonce=nonce,
                valid_s=valid_s,
            )
        write_new(out, file.to_bytes())
        note(f"The transaction is in {out}. `rustorium tx sign {out} --key FILE` adds a signature.")
        return signing_row(file, out), self.account


@dataclass(frozen=True)
class SendingFile(Sending):
    """The same options, and those of a file that others sign later."""

    nonce: NonceOption = None
    valid_s: ValidOption = VALID_S

    def of_file(self) -> tuple[int | None, float]:
        return self.nonce, self.valid_s


def read_authority(path: Path) -> "Authority":
    """Returns the authority in a JSON file. Errors: UsageError."""
    from rustorium.errors import UsageError

    found = authority_of(path)
    if found is None:
        raise UsageError(f"{path} names no authority: make one with `rustorium keys authority new`")
    return found[0]


def authority_of(path: Path) -> "tuple[Authority, int] | None":
    """Returns the authority in a JSON file and the region of the account that it opens, which is 0 if the file names
    none; `None` if it is another file. Errors: UsageError."""
    from rustorium.types import Authority

    try:
        found: Any = json.loads(content_of(path))
    except (ValueError, RecursionError):
        return None
    fields = found if isinstance(found, dict) else {}
    threshold, keys, region = fields.get("threshold"), fields.get("keys"), fields.get("region", 0)
    if type(threshold) is not int or type(region) is not int or not isinstance(keys, list):
        return None
    if not all(isinstance(key, str) for key in keys):
        return None
    return Authority(threshold, keys), region


def signing_row(file: "SigningFile", path: Path) -> dict[str, object]:
    """Returns a file's transaction and who has signed it, as a row."""
    return {
        "id": file.id,
        "file": str(path),
        "sender": file.sender,
        "nonce": file.nonce,
        "expires_at_ms": file.expires_at_ms,
        "threshold": file.authority.threshold,
        "signed_by": list(file.signed_by),
        "open_keys": list(file.open_keys),
        "missing": file.missing,
    }


def submitted_row(submitted: "Submitted") -> dict[str, object]:
    """Returns a transaction's outcome, as a row."""
    row: dict[str, object] = {"id": submitted.id, "reached": submitted.reached}
    if submitted.receipt is not None:
        row |= receipt_row(submitted.receipt) | {"proven": not submitted.endpoint}
    if submitted.proof is not None:
        row["proof"] = submitted.proof.hex()
    return row


def receipt_row(receipt: object) -> dict[str, object]:
    """Returns a receipt as a part of a row."""
    import msgspec

    fields: dict[str, object] = msgspec.to_builtins(receipt)
    fields.pop("transaction")
    failure = fields.pop("failure")
    return fields | ({"outcome": "failed", "failure": failure} if failure is not None else {"outcome": "ok"})
