"""`testnet gen`: the files of a net whose validators run on several machines."""

from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.output import Format, Output, emit, note, progress

group = typer.Typer(help="Make the files of a net on several machines.", no_args_is_help=True)


@group.callback()
def testnet() -> None:
    """Make the files of a net on several machines."""


@group.command()
def gen(
    hosts: Annotated[list[str], typer.Argument(help="One host name or address per validator.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make them in.")],
    name: Annotated[str, typer.Option("--name", help="The chain's name.")] = "testnet",
    regions: Annotated[str, typer.Option("--regions", help="Region names, comma-separated, taken in turn.")] = "local",
    accounts: Annotated[int, typer.Option("--accounts", min=0, help="Funded accounts.")] = 4,
    base_port: Annotated[
        int, typer.Option("--base-port", min=1024, max=65000, help="Ports are this, +1, +2, +10.")
    ] = 26650,
    pool_key: Annotated[
        Path | None,
        typer.Option("--pool-key", help="Verifying key of the pool of shielded value. Default: a devnet's, for tests."),
    ] = None,
    no_pool: Annotated[bool, typer.Option("--no-pool", help="Make no pool of shielded value.")] = False,
    output: Output = Format.table,
) -> None:
    """Make a genesis, one home per validator, owner keys and account keys, sealed with a random passphrase."""
    from rustorium import _native
    from rustorium.home import make_folder, write_random_passphrase
    from rustorium.netgen import Listen, NetPlan, generate

    root = out.expanduser().absolute()
    make_folder(root)
    listen = [
        Listen(
            f"0.0.0.0:{base_port}",
            f"0.0.0.0:{base_port + 1}",
            f"0.0.0.0:{base_port + 2}",
            f"127.0.0.1:{base_port + 10}",
            p2p_public=host if ":" in host else f"{host}:{base_port}",
        )
        for host in hosts
    ]
    named = [region.strip() for region in regions.split(",")]
    plan = NetPlan(name, listen, named, accounts, pool_key=_pool_key(pool_key, no_pool))
    passphrase = write_random_passphrase(root / "passphrase")
    with progress("making keys") as advance:
        files = generate(root, plan, passphrase, advance)
    emit(
        [
            {"name": node.name, "host": host, "region": node.region, "home": str(node.home)}
            for node, host in zip(files.nodes, hosts, strict=True)
        ],
        output,
    )
    if plan.pool_key is not None:
        note(f"the pool's verifying key has the BLAKE3 hash {_native.value_hash(plan.pool_key).hex()}")
    note(
        f"chain {files.chain}; copy each home and {root / 'passphrase'} to its machine, keep owners/ apart, then run "
        "`rustorium-node start --home HOME --passphrase-file FILE` there"
    )


def _pool_key(path: Path | None, none: bool) -> bytes | None:
    """A pool's verifying key: the named file's bytes, or a devnet's, which is said loudly. Errors: UsageError."""
    from rustorium import _native
    from rustorium.cli.options import content_of
    from rustorium.errors import UsageError

    if none:
        if path is not None:
            raise UsageError("give --pool-key or --no-pool, not both")
        return None
    if path is not None:
        return content_of(path)
    key, warning = _native.devnet_pool_key()
    note(f"WARNING: the pool of shielded value has a devnet's key: {warning}; give --pool-key FILE or --no-pool")
    return key
