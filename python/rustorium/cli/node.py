"""`init` and `start`: a node's home and its process."""

import enum
import os
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import HomeOption, OwnerPassphraseOption, PassphraseOption, home_of
from rustorium.cli.output import Format, Output, emit_one, note


class Role(enum.StrEnum):
    """The role of a node in the net."""

    validator = "validator"
    follower = "follower"


RoleOption = Annotated[Role, typer.Option("--role", help="A follower verifies, executes and serves, but never votes.")]


def init(
    home: Annotated[Path, typer.Option("--home", help="Folder to make; it must be empty or not exist.")],
    name: Annotated[str, typer.Option("--name", help="The node's name.")] = "node-0",
    role: RoleOption = Role.validator,
    genesis: Annotated[
        Path | None,
        typer.Option(
            "--genesis",
            help="Genesis file of the chain to join. Without it, copy the file into the home before `start`.",
        ),
    ] = None,
    owner_key: Annotated[
        Path | None,
        typer.Option(
            "--owner-key", help="Where to write the owner's key; keep it off the node. Default: HOME.owner.key."
        ),
    ] = None,
    region: Annotated[str, typer.Option("--region", help="Region of the validator: a name or a byte.")] = "local",
    address: Annotated[
        str | None, typer.Option("--address", help="HOST:PORT at which the other validators dial this one.")
    ] = None,
    base_port: Annotated[
        int | None,
        typer.Option(
            "--base-port", min=1024, max=65000, help="First port; the others are this +1, +2 and +10. Default: 26650."
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(
            "--keep",
            help="History to keep: everything (grows without limit; anyone can ask for any height), recent (the newest "
            "100000 heights), or a number of heights.",
        ),
    ] = "everything",
    peers: Annotated[
        list[str] | None,
        typer.Option("--peer", help="NAME=HOST:PORT of a genesis validator, or NODE_KEY=HOST:PORT; repeat."),
    ] = None,
    passphrase_file: PassphraseOption = None,
    owner_passphrase_file: OwnerPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Make a node's home: keys and config.toml. The home's validator.json has what `genesis new` needs of a validator,
    as `-o json` prints it: public keys, and the proof that this party holds them. A follower has no validator key, and
    can start at once if --genesis and a --peer are given."""
    from rustorium.home.paths import Home
    from rustorium.home.setup import HomeOptions, init_home, parse_keep, parse_peers
    from rustorium.regions import parse_region

    path = home.expanduser().absolute()
    options = HomeOptions(parse_region(region), address or "", base_port, parse_keep(keep))
    known = parse_peers(peers or [])
    made = init_home(
        path, name, role.value, genesis, known, owner_key, passphrase_file, os.environ, options, owner_passphrase_file
    )
    emit_one(made, output)
    if options.keep == "archive":
        note("It keeps everything: about 13 GB a day at 50 transactions/s; --keep recent bounds it (docs/sizing.md).")
    if role is Role.follower:
        missing = [] if genesis is not None else [f"put the chain's genesis at {made['genesis']}"]
        missing += [] if peers else ["fill p2p.peers in config.toml"]
        named = f"have each validator name it: `rustorium-node followers add {made['node_key']}`"
        note(f"next: {', '.join([*missing, named, f'run `rustorium-node start --home {path}`'])}")
        return
    if not address:
        note("This validator has no --address: the others must fill it in as p2p.peers in their config.toml.")
    note(
        f"Next: give {Home(path).party} to whoever runs `rustorium genesis new` (it has no secret), check the genesis "
        f"that comes back with `rustorium genesis check`, and put it at {made['genesis']}"
    )


def start(
    home: HomeOption = None,
    passphrase_file: PassphraseOption = None,
    role: Annotated[
        Role | None, typer.Option("--role", help="Role that overrides config.toml. A follower opens no validator key.")
    ] = None,
    p2p_listen: Annotated[
        str | None, typer.Option(help="host:port of the P2P port for links between nodes (UDP).")
    ] = None,
    http_listen: Annotated[str | None, typer.Option(help="host:port of the HTTP API.")] = None,
    client_listen: Annotated[str | None, typer.Option(help="host:port of the QUIC API for clients (UDP).")] = None,
    metrics_listen: Annotated[str | None, typer.Option(help="host:port of /metrics.")] = None,
    durability: Annotated[
        str | None, typer.Option(help="vote (sync to disk before voting), or os (no sync: tests and benchmarks only).")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="Lowest level to log: debug, info, warn or error.")] = None,
    ready_fd: Annotated[
        int | None, typer.Option(help="File descriptor that receives one line when the node is ready.")
    ] = None,
    stop_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the node of a home until Ctrl-C or SIGTERM."""
    from rustorium.home.endpoints import gateway_url, in_the_clear
    from rustorium.node.loop.launch import prepare
    from rustorium.node.loop.supervisor import Descriptors, run

    found = home_of(home)
    flags: dict[str, object] = {
        "node.role": role.value if role is not None else None,
        "p2p.listen": p2p_listen,
        "http.listen": http_listen,
        "client.listen": client_listen,
        "metrics.listen": metrics_listen,
        "storage.durability": durability,
        "log.level": log_level,
    }
    launch = prepare(found, found.load_config(os.environ, flags), passphrase_file, os.environ)
    note(f"{launch.config.node.name} of chain {launch.chain} starts; {gateway_url(launch.config)}/docs")
    for sentence in in_the_clear(launch.config):
        note(f"WARNING: {sentence}")
    run(launch, Descriptors(ready_fd, stop_fd, note))
