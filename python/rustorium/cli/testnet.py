"""`testnet gen` makes the files of a net whose validators run on several machines, for trials."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import CommitteesOption, CoresOption, PresetOption, ShardsOption
from rustorium.cli.output import Format, Output, emit, note, progress

if TYPE_CHECKING:
    from rustorium.net.generate import Listen

FAULT_TOLERANT_MIN = 4
"""The smallest committee that makes blocks without one of its members."""

group = typer.Typer(help="Make the files of a trial net on several machines.", no_args_is_help=True)


@group.callback()
def testnet() -> None:
    """Make the files of a trial net on several machines."""


@group.command()
def gen(
    hosts: Annotated[list[str], typer.Argument(help="One host name or address per validator.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    name: Annotated[str, typer.Option("--name", help="The chain's name.")] = "testnet",
    regions: Annotated[
        str, typer.Option("--regions", help="Region names, comma-separated; they are assigned to the hosts in turn.")
    ] = "local",
    accounts: Annotated[int, typer.Option("--accounts", min=0, help="Number of funded accounts.")] = 4,
    apart: CommitteesOption = False,
    shards: ShardsOption = 1,
    operators: Annotated[
        int | None,
        typer.Option(
            "--operators", min=1, max=64, help="Number of operators, who admit and remove validators together."
        ),
    ] = None,
    operator_quorum: Annotated[
        int | None,
        typer.Option("--operator-quorum", min=1, help="Number of operators who must approve. Default: more than half."),
    ] = None,
    single_operator: Annotated[
        bool, typer.Option("--single-operator", help="Let one key decide alone. Its holder can take over the chain.")
    ] = False,
    base_port: Annotated[
        int, typer.Option("--base-port", min=1024, max=65000, help="First port; the others are this +1, +2 and +10.")
    ] = 26650,
    ports_step: Annotated[
        int,
        typer.Option("--ports-step", min=0, max=1000, help="Distance of one host's ports from the next one's."),
    ] = 0,
    pool_key: Annotated[
        Path | None,
        typer.Option("--pool-key", help="Create a pool of shielded value with this verifying key. Default: no pool."),
    ] = None,
    devnet_pool: Annotated[
        bool,
        typer.Option("--devnet-pool", help="Create the pool with the devnet key, with which anyone can forge value."),
    ] = False,
    preset: PresetOption = "consortium",
    cores: CoresOption = 2,
    output: Output = Format.table,
) -> None:
    """Make a genesis, homes, and keys of owners, operators and accounts. Each party's keys have their own passphrase.

    One person makes all keys of such a net and could keep copies, so use it only for trials: `genesis new` makes a net
    of several owners."""
    from rustorium import _native
    from rustorium.access.private import make_folder
    from rustorium.net.generate import NetPlan, generate

    count, quorum = operator_counts(operators, operator_quorum, single_operator)
    listens = [_listen(host, base_port + number * ports_step) for number, host in enumerate(hosts)]
    _check_hosts(hosts, listens)
    key = _pool_key(pool_key, devnet_pool)
    named = [region.strip() for region in regions.split(",")]
    plan = NetPlan(
        name,
        listens,
        named,
        accounts,
        pool_key=key,
        operators=count,
        operator_quorum=quorum,
        preset=preset,
        cores=cores,
        shards=shards,
        apart=apart,
    )
    root = out.expanduser().absolute()
    make_folder(root)
    with progress("making keys") as advance:
        files = generate(root, plan, None, advance)
    emit(
        [
            {
                "name": node.name,
                "host": host,
                "region": node.region,
                "home": str(node.home),
                "passphrase_file": str(root / "passphrases" / node.name),
            }
            for node, host in zip(files.nodes, hosts, strict=True)
        ],
        output,
    )
    if key is not None:
        note(f"The pool's verifying key has the BLAKE3 hash {_native.value_hash(key).hex()}")
    note(
        f"chain {files.chain}; copy each home and its passphrase file to its machine, then run `rustorium-node start "
        "--home HOME --passphrase-file FILE` there; give each folder of owners/ and operators/ to whom it belongs, and "
        "leave none of them on a validator's machine"
    )
    note(
        "One person made all these keys and passphrases and could have kept copies: use this net only for trials. "
        "`rustorium genesis new` makes a net of several owners."
    )
    if len(hosts) < FAULT_TOLERANT_MIN:
        note(f"WARNING: {_count(len(hosts), 'validator')} tolerate no failure; four tolerate one")
    if quorum == 1:
        note(
            "WARNING: one key governs this chain: the holder of the operator's key admits validators, and can take "
            "over the chain"
        )


def _check_hosts(hosts: list[str], listens: "list[Listen]") -> None:
    """Checks that no two validators have the same address. Errors: UsageError."""
    from rustorium.errors import UsageError

    seen: dict[str, str] = {}
    for host, listen in zip(hosts, listens, strict=True):
        address = listen.p2p_public or listen.p2p
        if address in seen:
            raise UsageError(
                f"two validators would be at {address}: name different hosts, or give --ports-step 20 to run several "
                "on one machine"
            )
        seen[address] = host


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def operator_counts(
    operators: int | None, quorum: int | None, single: bool, option: str = "--operators 3"
) -> tuple[int, int]:
    """Returns the number of operators and how many must approve. Errors: UsageError if one key would decide and
    --single-operator is missing, or if the quorum isn't possible (V45)."""
    from rustorium.errors import UsageError
    from rustorium.net.generate import quorum_bounds

    if operators is None and not single:
        raise UsageError(
            f"say who admits and removes validators: {option}, of whom two decide, or --single-operator to let one "
            "key decide alone"
        )
    count = operators or 1
    if count == 1 and not single:
        raise UsageError(f"one key would govern the chain: give {option} or more, or say --single-operator")
    if count > 1 and single:
        raise UsageError(f"--single-operator is for one key, and there are {count} operators: leave it out")
    least, most = quorum_bounds(count)
    decide = quorum or least
    if not least <= decide <= most:
        raise UsageError(f"{decide} of {count} operators can't decide: give an --operator-quorum of {least} to {most}")
    return count, decide


def _listen(host: str, base_port: int) -> "Listen":
    from rustorium.config import is_address, split_address
    from rustorium.errors import UsageError
    from rustorium.net.generate import Listen

    public = host if ":" in host else f"{host}:{base_port}"
    try:
        name = split_address(public)[0]
    except ValueError as error:
        raise UsageError(f"{error}: give each validator's host name or address") from None
    return Listen(
        f"0.0.0.0:{base_port}",
        f"0.0.0.0:{base_port + 1}",
        f"0.0.0.0:{base_port + 2}",
        f"127.0.0.1:{base_port + 10}",
        p2p_public=public,
        name="" if is_address(name) else name,
    )


def _pool_key(path: Path | None, devnet: bool) -> bytes | None:
    """Returns a pool's verifying key: the named file's bytes, or the devnet's with a warning. Errors: UsageError."""
    from rustorium import _native
    from rustorium.cli.options import content_of
    from rustorium.errors import UsageError

    if devnet and path is not None:
        raise UsageError("give --pool-key or --devnet-pool, not both")
    if not devnet:
        return content_of(path) if path is not None else None
    key, warning = _native.devnet_pool_key()
    note(f"WARNING: the pool of shielded value has a devnet's key: {warning}")
    return key
