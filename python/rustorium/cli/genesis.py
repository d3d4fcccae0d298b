"""`genesis new`, `genesis show` and `genesis check`: the start of a chain that several parties agree on."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import (
    CommitteesOption,
    CoresOption,
    PassphraseOption,
    PresetOption,
    SetOption,
    ShardsOption,
    home_of,
    parameters_of,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note

if TYPE_CHECKING:
    from rustorium.home.paths import Home
    from rustorium.net.parties import Holder

group = typer.Typer(help="Make, show and check the genesis of a net of several owners.", no_args_is_help=True)
ValidatorOption = Annotated[
    list[Path] | None,
    typer.Option("--validator", help="File that a party's `init -o json` printed; repeat, one for each validator."),
]
OperatorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--operator",
        help="File that an operator's `keys new -o json` printed, or the address of an account of --account; repeat.",
    ),
]
AccountOption = Annotated[
    list[Path] | None,
    typer.Option("--account", help="File that `keys new -o json` printed, of a further account; repeat."),
]


@group.command()
def new(
    out: Annotated[Path, typer.Option("--out", help="File to write; it must not exist.")],
    validator: ValidatorOption = None,
    operator: OperatorOption = None,
    operator_quorum: Annotated[
        int | None,
        typer.Option("--operator-quorum", min=1, help="Number of operators who must approve. Default: more than half."),
    ] = None,
    single_operator: Annotated[
        bool, typer.Option("--single-operator", help="Let one key decide alone. Its holder can take over the chain.")
    ] = False,
    account: AccountOption = None,
    name: Annotated[str, typer.Option("--name", help="The chain's name.")] = "rustorium",
    parameter: SetOption = None,
    preset: PresetOption = "consortium",
    cores: CoresOption = 2,
    shards: ShardsOption = 1,
    committees: CommitteesOption = False,
    output: Output = Format.table,
) -> None:
    """Make a genesis from the files of several parties. It reads public keys only.

    Each party then checks the result with `genesis check`, and all compare the chain id."""
    from rustorium.access.files import write_new
    from rustorium.cli.testnet import operator_counts
    from rustorium.errors import UsageError
    from rustorium.net.parties import new_genesis, read_holder, read_party

    if not validator:
        raise UsageError("a genesis needs validators: give --validator FILE for each, as its `init -o json` printed it")
    parties = [read_party(file) for file in validator]
    accounts = [read_holder(file) for file in account or []]
    operators = _operators(operator or [], accounts)
    _, quorum = operator_counts(
        len(operators) or None, operator_quorum, single_operator, "--operator FILE for each of three"
    )
    changes = parameters_of(parameter or [])
    text = new_genesis(name, parties, operators, quorum, accounts, changes, preset, cores, shards, apart=committees)
    path = out.expanduser()
    write_new(path, text.encode())
    emit_one(_row(path), output)
    note(
        f"Send {path} to every party. Each runs `rustorium genesis check {path.name} --home HOME --validator FILE…`, "
        "and all read out the chain id to each other."
    )


@group.command()
def show(
    file: Annotated[Path, typer.Argument(help="Genesis file.")],
    output: Output = Format.table,
) -> None:
    """Show a genesis: its chain id, validators, operators, accounts and parameters."""
    from rustorium import _native
    from rustorium.access.genesis import read_genesis
    from rustorium.regions import region_name

    content = read_genesis(file.expanduser())
    described = json.loads(_native.genesis_describe(content))
    if output is not Format.table:
        emit_one(_row(file) | {"genesis": described}, output)
        return
    emit_one(_row(file), output)
    rows = [one | {"region": region_name(int(one["region"]))} for one in described["validators"]]
    emit(rows, output, ["name", "region", "address", "validator_key"])
    emit(rows, output, ["name", "node_key"])
    if described.get("shards"):
        emit(_shards(content), output)
    parameters: dict[str, Any] = described["parameters"]
    holders = {one["owner_key"]: f"owner of {one['name']}" for one in described["validators"]}
    holders |= dict.fromkeys(parameters["operators"], "operator")
    emit([_account(one, holders) for one in described["accounts"]], output)
    parameters["operators"] = f"{len(parameters['operators'])} of the accounts above"
    parameters |= {f"capacity.{name}": value for name, value in parameters.pop("capacity", {}).items()}
    emit([{"parameter": name, "value": value} for name, value in parameters.items()], output)


@group.command()
def check(
    file: Annotated[Path, typer.Argument(help="Genesis file.")],
    validator: ValidatorOption = None,
    operator: Annotated[
        list[Path] | None,
        typer.Option("--operator", help="File that an operator's `keys new -o json` printed; repeat, one for each."),
    ] = None,
    home: Annotated[Path | None, typer.Option("--home", help="Own home, whose keys must be in it.")] = None,
    chain: Annotated[str | None, typer.Option("--chain", help="Chain id that another party read out.")] = None,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Check that a genesis is what the parties agreed on, before a node starts with it. Exit code 4: refuse it."""
    from rustorium import _native
    from rustorium.access.genesis import read_genesis
    from rustorium.net.agreed import examine
    from rustorium.net.parties import read_holder, read_party

    found = home_of(home) if home is not None else None
    own = _own_keys(found, passphrase_file) if found is not None else None
    is_of_chain = found is not None and found.genesis.exists()
    checks = examine(
        read_genesis(file.expanduser()),
        [read_party(one) for one in validator or []],
        [read_holder(one) for one in operator or []],
        own,
        chain,
        _native.genesis_hash(found.genesis_bytes()) if found is not None and is_of_chain else None,
    )
    rows = [{"check": one.name, "result": one.result, "seen": one.seen, "do": one.do or None} for one in checks]
    emit(rows, output, ["check", "result", "seen", "do"])
    if any(one.result == "fail" for one in checks):
        raise typer.Exit(4)


def _row(file: Path) -> dict[str, object]:
    from rustorium import _native
    from rustorium.access.genesis import read_genesis
    from rustorium.net.parties import faults_tolerated

    content = read_genesis(file.expanduser())
    described = json.loads(_native.genesis_describe(content))
    count, parameters = len(described["validators"]), described["parameters"]
    return {
        "chain": _native.genesis_hash(content),
        "name": described["name"],
        "version": described["version"],
        "time_ms": described["time_ms"],
        "validators": count,
        "tolerated_failures": faults_tolerated(count),
        "operators": len(parameters["operators"]),
        "operator_quorum": parameters["operator_quorum"],
        "accounts": len(described["accounts"]),
        "shards": len(described.get("shards") or [None]),
        "file": str(file),
    }


def _shards(genesis: bytes) -> list[dict[str, object]]:
    """Returns the shards that the chain begins with as rows."""
    from rustorium import _native

    listed = _native.Shards(genesis).list()
    return [
        {"shard": number, "from_account": lowest, "members": ", ".join(members)}
        for number, (lowest, members) in enumerate(listed)
    ]


def _account(one: dict[str, Any], holders: dict[str, str]) -> dict[str, object]:
    """Returns an account as a row; `holders` says what a public key is for."""
    from rustorium import _native

    address = _native.account_id(int(one["region"]), bytes.fromhex(one["public_key"]))
    held = {balance["asset"]: balance["amount"] for balance in one.get("balances") or []}
    return {
        "address": address,
        "holder": holders.get(one["public_key"], "user"),
        "storage_bytes": one["storage_bytes"],
        "balances": held or None,
    }


def _operators(named: list[str], accounts: "list[Holder]") -> "list[Holder]":
    """Finds the operators by file, or by the address of an account whose file was given. Errors: UsageError."""
    from rustorium.errors import UsageError
    from rustorium.net.parties import read_holder

    by_address = {one.address: one for one in accounts}
    found = []
    for one in named:
        if one.startswith("rs1") and one not in by_address:
            raise UsageError(
                f"nothing here has the public key of {one}: give the file that its holder's `keys new -o json` printed"
            )
        found.append(by_address.get(one) or read_holder(Path(one)))
    return found


def _own_keys(home: "Home", passphrase_file: Path | None) -> dict[str, str]:
    """Returns the public keys of a home."""
    from rustorium.client.keys import describe

    files = {"validator_key": home.validator_key, "node_key": home.node_key}
    return {name: str(describe(file, passphrase_file, os.environ)["public_key"]) for name, file in files.items()}
