"""`node add`, `node list`, `node remove` and `node replace-key`: who is in the committee."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import (
    GenesisOption,
    HomeOption,
    KeyOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    TimeoutOption,
    client_of,
    home_of,
    key_of,
    net_of,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note

group = typer.Typer(
    help="Add validators to a running net, remove them, list them, replace their keys.", no_args_is_help=True
)
HomeArgument = Annotated[Path, typer.Option("--home", help="Folder to make, or one that an earlier `node add` made.")]


@group.command("list")
def list_(
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """The committee of the epoch that goes on."""
    with client_of(net, node, genesis, timeout_s) as client:
        answer = client.validators()
    emit([{"index": index, **one} for index, one in enumerate(answer["validators"])], output)
    if answer["next"] != answer["validators"]:
        names = ", ".join(str(one["name"]) for one in answer["next"])
        note(f"epoch {answer['epoch']}; in the next one: {names}")


@group.command()
def add(
    home: HomeArgument,
    key: KeyOption,
    region: Annotated[str | None, typer.Option("--region", help="One of the net's regions. Default: in turn.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The validator's name. Default: the home's.")] = None,
    net: NetOption = None,
    timeout_s: TimeoutOption = 120.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Make a home on this machine for a net's new validator, start it, sync it, and let it vote from the next epoch on.

    `--key` is an operator's account. Where more operators must approve, each sends the same with `tx`."""
    from rustorium.client import Client
    from rustorium.errors import UsageError
    from rustorium.home import find_passphrase, read_genesis
    from rustorium.joining import admit, free_listen, make_home, start_and_sync, wait_for_committee

    found = net_of(net)
    if found is None:
        raise UsageError("no net is named: give --net devnet.json")
    regions = list(dict.fromkeys(one.region for one in found.nodes))
    chosen = region or regions[len(found.nodes) % len(regions)]
    if chosen not in regions:
        raise UsageError(f"the net has no region {chosen}, but {', '.join(regions)}: change --region")
    signer = key_of(key, passphrase_file)
    path = home.expanduser().absolute()
    passphrase = find_passphrase(Path(found.accounts[0].key_file), passphrase_file, os.environ)
    owner = path.with_name(f"{path.name}.owner.key")
    joiner = make_home(found, path, name or path.name, regions.index(chosen), free_listen(), passphrase, owner, "vote")
    note(f"made {path} and {owner}; the node starts and follows")
    pid = start_and_sync(joiner, passphrase, timeout_s)
    with Client(found.endpoints, genesis=read_genesis(Path(found.genesis)), timeout_s=timeout_s) as client:
        admit(client, joiner, signer)
        epoch = wait_for_committee(client, joiner.validator_key, True, timeout_s)
    emit_one(
        {"name": joiner.name, "region": chosen, "home": str(path), "pid": pid, "epoch": epoch,
         "validator_key": joiner.validator_key, "owner_key_file": str(owner)},
        output,
    )  # fmt: skip


@group.command()
def remove(
    validator: Annotated[str, typer.Argument(help="Its name or validator key.")],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Take a validator out of the committee from the next epoch on; it goes on to follow until it is stopped."""
    from rustorium.joining import find, wait_for_committee
    from rustorium.joining import remove as send_removal

    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s) as client:
        one = find(client.validators()["validators"], validator)
        send_removal(client, one, signer)
        epoch = wait_for_committee(client, str(one["validator_key"]), False, timeout_s)
    emit_one({"name": one["name"], "validator_key": one["validator_key"], "epoch": epoch}, output)


@group.command("replace-key")
def replace_key(
    home: HomeOption = None,
    owner_key: Annotated[
        Path | None,
        typer.Option(
            "--owner-key", help="The owner's key file. Default: HOME.owner.key, or a devnet's owners/NAME.key."
        ),
    ] = None,
    net: NetOption = None,
    node: NodeOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Give a stopped home's validator a new key, signed by its owner: the way back for a key that is retired.

    The home's genesis is used. Run it again where it was interrupted; then `start`."""
    from rustorium.rekeying import Opener, stopped
    from rustorium.rekeying import replace_key as replace

    found = home_of(home)
    named = found.load_config().config.keys.passphrase_file
    if passphrase_file is None and named:
        passphrase_file = found.path / named
    beside = found.path.with_name(f"{found.path.name}.owner.key")
    in_devnet = found.path.parent.parent / "owners" / f"{found.path.name}.key"
    owner = owner_key or (in_devnet if in_devnet.is_file() and not beside.is_file() else beside)
    others = node
    if not others and (known := net_of(net)) is not None:
        others = [one.http for one in known.nodes if Path(one.home) != found.path]
    with stopped(found), client_of(None, others, found.genesis, timeout_s) as client:
        done = replace(found, client, owner.expanduser(), Opener(passphrase_file, os.environ))
    emit_one(
        {"home": str(found.path), "old_validator_key": done.old_key, "validator_key": done.new_key,
         "old_files": str(done.kept)},
        output,
    )  # fmt: skip
    note(f"next: `rustorium-node start --home {found.path}`; it votes from the next epoch on")
