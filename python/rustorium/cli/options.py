"""Options that several groups share, and what they stand for."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rustorium.client import Client, Key
    from rustorium.home import Home
    from rustorium.net import Net

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The node's folder. Default: RUSTORIUM_HOME, or the only one in ~/.rustorium."),
]
PassphraseOption = Annotated[Path | None, typer.Option("--passphrase-file", help="File (0600) that opens the key.")]
NetOption = Annotated[
    Path | None, typer.Option("--net", help="A devnet.json: endpoints, genesis and accounts. Default: RUSTORIUM_NET.")
]
NodeOption = Annotated[
    list[str] | None, typer.Option("--node", help="URL of a node's HTTP face, instead of --net; repeat.")
]
GenesisOption = Annotated[Path | None, typer.Option("--genesis", help="The chain's genesis file, with --node.")]
CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", help="A checkpoint's file, to start at instead of the genesis.")
]
KeyOption = Annotated[Path, typer.Option("--key", help="Key file of the account that signs.")]
TimeoutOption = Annotated[float, typer.Option("--timeout-s", min=0.1, help="How long to wait, seconds.")]
EncodingHelp = "How keys and values are written: utf8, hex or base64."


def home_of(path: Path | None) -> "Home":
    """The home that a command is about. Errors: HomeMissing."""
    from rustorium.errors import HomeMissing
    from rustorium.home import Home, default_home

    found = path or default_home(os.environ)
    if found is None:
        raise HomeMissing("no home is named: give --home or set RUSTORIUM_HOME")
    return Home(found.expanduser().absolute())


def net_of(path: Path | None) -> "Net | None":
    """The net's file, where one is named. Errors: UsageError."""
    from rustorium.net import read_net

    named = path or (Path(os.environ["RUSTORIUM_NET"]) if os.environ.get("RUSTORIUM_NET") else None)
    return read_net(named.expanduser()) if named is not None else None


def client_of(
    net: Path | None, nodes: list[str] | None, genesis: Path | None, timeout_s: float, checkpoint: Path | None = None
) -> "Client":
    """A client of the named net or nodes. Errors: UsageError."""
    from rustorium.client import Client
    from rustorium.errors import UsageError
    from rustorium.home import read_genesis

    if nodes:
        pinned = read_genesis(genesis) if genesis is not None else None
        return Client(nodes, genesis=pinned, checkpoint=_content(checkpoint), timeout_s=timeout_s)
    found = net_of(net)
    if found is None:
        raise UsageError("no net is named: give --net devnet.json, or --node URL with --genesis FILE")
    pinned = read_genesis(Path(found.genesis))
    return Client(found.endpoints, genesis=pinned, checkpoint=_content(checkpoint), timeout_s=timeout_s)


def content_of(path: Path) -> bytes:
    """A file's content. Errors: UsageError."""
    from rustorium.errors import UsageError

    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name a file that can") from None


def _content(path: Path | None) -> bytes | None:
    return content_of(path) if path is not None else None


def key_of(path: Path, passphrase_file: Path | None) -> "Key":
    """Opens an account's key file. Errors: KeyFileError."""
    from rustorium.client import Key

    return Key.open(path.expanduser(), passphrase_file)
