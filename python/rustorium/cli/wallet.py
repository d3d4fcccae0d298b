"""`wallet new`, `address`, `viewing-key`, `balance`, `scan`, `shield`, `transfer`, `unshield`: shielded value."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import (
    GenesisOption,
    KeyOption,
    NetOption,
    NodeOption,
    OutOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    content_of,
    key_of,
    named_out,
    net_of,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note, progress
from rustorium.cli.sending import submitted_row

if TYPE_CHECKING:
    from rustorium.client import Client, Wallet

group = typer.Typer(
    help="Hold and pay shielded value: nobody else sees who pays whom, or how much.", no_args_is_help=True
)

FileArgument = Annotated[Path, typer.Argument(help="The wallet's file.")]
AmountArgument = Annotated[str, typer.Argument(help="Amount in the asset's smallest units.")]
AssetOption = Annotated[str | None, typer.Option("--asset", help="Asset id (hex). Default: the asset of --net.")]
MemoOption = Annotated[str, typer.Option("--memo", help="A message to the receiver, at most 140 bytes.")]
WalletPassphraseOption = Annotated[
    Path | None, typer.Option("--wallet-passphrase-file", help="File (0600) with the passphrase of the wallet.")
]

ProvingKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--proving-key",
        help="The proving.key of the ceremony that made the pool's key. Default: proving-keys/HASH.key in "
        "RUSTORIUM_HOME or ~/.rustorium; on a devnet, the devnet's.",
    ),
]


@group.command()
def new(
    file: Annotated[
        Path | None, typer.Argument(help="Wallet file to create; it must not exist. Or name it by --out.")
    ] = None,
    out: OutOption = None,
    net: NetOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    pool: Annotated[int, typer.Option("--pool", min=0, max=2**32 - 1, help="The pool's number.")] = 1,
    account: Annotated[
        int, typer.Option("--account", min=0, max=2**32 - 1, help="Number of the account under the seed.")
    ] = 0,
    viewing_key: Annotated[
        Path | None,
        typer.Option("--viewing-key", help="File with a viewing key. The wallet can then see payments, but not pay."),
    ] = None,
    from_now: Annotated[
        bool,
        typer.Option(
            "--from-now",
            help="Skip all transfers up to now, as the net reports them. Safe with a new seed, which received none"
            " of them.",
        ),
    ] = False,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Create a wallet for a chain's pool, encrypted with a passphrase."""
    from rustorium import _native
    from rustorium.access.genesis import read_genesis
    from rustorium.access.passphrases import new_passphrase
    from rustorium.client import Wallet
    from rustorium.errors import FileExists, UsageError

    path, found = named_out(file, out), net_of(net)
    if path.exists():
        raise FileExists(path)
    named = genesis or (Path(found.genesis) if found is not None else None)
    if named is None:
        raise UsageError("no chain is named: give --net devnet.json or --genesis FILE")
    if from_now and (found is None or viewing_key is not None):
        raise UsageError("--from-now is for a new seed and asks a net: give --net, and leave out --viewing-key")
    chain = _native.genesis_hash(read_genesis(named))
    passphrase = new_passphrase(passphrase_file, os.environ)
    text = content_of(viewing_key).decode(errors="replace").strip() if viewing_key is not None else None
    with Wallet.create(path, chain, passphrase=passphrase, pool=pool, account=account, viewing_key=text) as wallet:
        if found is not None and found.asset:
            wallet.know([found.asset])
        if from_now:
            with client_of(net, None, genesis, 30.0, token_file=token_file) as client:
                wallet.start_now(client)
        emit_one(_about(wallet), output)


@group.command()
def address(file: FileArgument, passphrase_file: PassphraseOption = None, output: Output = Format.table) -> None:
    """Show the address at which a wallet receives payments."""
    with _open(file, passphrase_file) as wallet:
        emit_one(_about(wallet), output)


@group.command("viewing-key")
def viewing_key(
    file: FileArgument,
    incoming: Annotated[
        bool, typer.Option("--incoming", help="Show the key that sees only incoming payments.")
    ] = False,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Show a wallet's viewing key, for an auditor. Its holder sees all of the wallet, and cannot pay."""
    with _open(file, passphrase_file) as wallet:
        emit_one({"viewing_key": wallet.viewing_key(incoming=incoming)}, output)


@group.command()
def balance(
    file: FileArgument,
    asset: Annotated[list[str] | None, typer.Option("--asset", help="Asset id to name in the table; repeat.")] = None,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Show the balances of a wallet, as of its last scan."""
    with _open(file, passphrase_file) as wallet:
        wallet.know(asset or ())
        _show(wallet, output)


@group.command()
def scan(
    file: FileArgument,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Scan the pool's transfers since the last scan, and show what concerns the wallet."""
    with (
        _open(file, passphrase_file) as wallet,
        client_of(net, node, genesis, timeout_s, token_file=token_file) as client,
        progress("transfers looked at") as advance,
    ):
        events = wallet.scan(client, advance)
    rows = [
        {"event": event.kind, "transfer": event.transfer, "amount": event.amount, "to": event.to}
        | {"memo": event.memo.decode(errors="replace") or None, "asset_tag": event.tag}
        for event in events
    ]
    emit(rows, output, ["event", "transfer", "amount", "to", "memo"])


@group.command()
def shield(
    file: FileArgument,
    amount: AmountArgument,
    key: KeyOption,
    to: Annotated[
        str | None, typer.Option("--to", help="Shielded address of the receiver. Default: this wallet's.")
    ] = None,
    memo: MemoOption = "",
    asset: AssetOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    proving_key: ProvingKeyOption = None,
    passphrase_file: PassphraseOption = None,
    wallet_passphrase_file: WalletPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Move an amount from an account into the pool. Amount, asset and account are public."""
    named = _Payment(amount, asset, net, key, passphrase_file)
    opens = (file, wallet_passphrase_file or passphrase_file, proving_key)
    with _paying(opens, net, node, genesis, timeout_s, token_file) as (wallet, client):
        done = wallet.shield(client, named.asset, named.units, key=named.signer, to=to, memo=memo.encode())
    emit_one(submitted_row(done), output)


@group.command()
def transfer(
    file: FileArgument,
    to: Annotated[str, typer.Argument(help="The receiver's shielded address: rsz1…")],
    amount: AmountArgument,
    key: KeyOption,
    memo: MemoOption = "",
    asset: AssetOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    proving_key: ProvingKeyOption = None,
    passphrase_file: PassphraseOption = None,
    wallet_passphrase_file: WalletPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Pay an amount inside the pool. Only the account that sends the transaction is public."""
    named = _Payment(amount, asset, net, key, passphrase_file)
    opens = (file, wallet_passphrase_file or passphrase_file, proving_key)
    with _paying(opens, net, node, genesis, timeout_s, token_file) as (wallet, client):
        done = wallet.transfer(client, to, named.asset, named.units, key=named.signer, memo=memo.encode())
    emit_one(submitted_row(done), output)


@group.command()
def unshield(
    file: FileArgument,
    to: Annotated[str, typer.Argument(help="Address of the account that receives the amount: rs1…")],
    amount: AmountArgument,
    key: KeyOption,
    asset: AssetOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    proving_key: ProvingKeyOption = None,
    passphrase_file: PassphraseOption = None,
    wallet_passphrase_file: WalletPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Move an amount out of the pool. Amount, asset and receiver are public."""
    named = _Payment(amount, asset, net, key, passphrase_file)
    opens = (file, wallet_passphrase_file or passphrase_file, proving_key)
    with _paying(opens, net, node, genesis, timeout_s, token_file) as (wallet, client):
        done = wallet.unshield(client, to, named.asset, named.units, key=named.signer)
    emit_one(submitted_row(done), output)


class _Payment:
    """The arguments of a payment: units, an asset, and the account that sends it. Errors: UsageError, KeyFileError."""

    def __init__(
        self, amount: str, asset: str | None, net: Path | None, key: Path, passphrase_file: Path | None
    ) -> None:
        from rustorium.client import amount_of

        self.units, self.asset, self.signer = amount_of(amount), _asset(asset, net), key_of(key, passphrase_file)


@contextmanager
def _paying(
    opens: tuple[Path, Path | None, Path | None],
    net: Path | None,
    node: list[str] | None,
    genesis: Path | None,
    timeout_s: float,
    token_file: Path | None,
) -> "Iterator[tuple[Wallet, Client]]":
    """Yields wallet and client, after printing the pool's key for comparison and any warning about it."""
    from rustorium import _native

    with _open(*opens) as wallet, client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        note(f"The pool's verifying key has the BLAKE3 hash {_native.value_hash(client.pool_key(wallet.pool)).hex()}")
        if (warning := wallet.warning(client)) is not None:
            note(f"WARNING: {warning}")
        yield wallet, client


def _open(file: Path, passphrase_file: Path | None, proving_key: Path | None = None) -> "Wallet":
    from rustorium.client import Wallet

    return Wallet.open(file.expanduser(), passphrase_file, proving_key=proving_key)


def _asset(asset: str | None, net: Path | None) -> str:
    from rustorium.errors import UsageError

    found = net_of(net) if asset is None else None
    named = asset or (found.asset if found is not None else "")
    if not named:
        raise UsageError("no asset is named: give --asset, or a --net that has one")
    return named


def _about(wallet: "Wallet") -> dict[str, object]:
    return {"address": wallet.address, "chain": wallet.chain, "pool": wallet.pool, "pays": wallet.can_pay}


def _show(wallet: "Wallet", output: Format) -> None:
    rows = [
        {"asset": holding.asset, "amount": holding.amount, "notes": holding.notes, "asset_tag": holding.tag}
        for holding in wallet.balances()
    ]
    emit(rows, output)
