"""`node card`, `node announce`, `node withdraw` and `geo nodes`: the directory in which clients find nodes."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import HomeOption, OwnerPassphraseOption, PassphraseOption, home_of
from rustorium.cli.output import Format, Output, emit, emit_one, note
from rustorium.cli.sending import Reaching
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from rustorium.client import Client, Key
    from rustorium.client.directory import ListedNode

COLUMNS = ["node_key", "region_name", "place", "url", "until_ms"]
OwnerKeyOption = Annotated[
    Path, typer.Option("--owner-key", help="Key file of a validator's owner, whose account lists the nodes.")
]


def card(
    url: Annotated[str, typer.Option("--url", help="URL of the node's HTTP API, as clients reach it: https://…")],
    out: Annotated[Path, typer.Option("--out", help="The new file to write, for `node announce`.")],
    home: HomeOption = None,
    at: Annotated[
        str | None, typer.Option("--at", help="Where the node stands: degrees north and east, as in 35.7,139.7.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="The node's region. Default: its validator's in the genesis.")
    ] = None,
    days: Annotated[int, typer.Option("--days", help="Days for which the card is valid, at most 90.")] = 90,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Write what this node says of itself, signed by its node key: where it stands, and where clients reach it.

    A validator's owner lists it in the chain's directory with `node announce`."""
    from rustorium.access.files import write_new
    from rustorium.geo.places import parse_place
    from rustorium.net import listing
    from rustorium.regions import parse_region

    about = listing.About(
        url, parse_region(region) if region is not None else None, parse_place(at) if at is not None else None, days
    )
    made = listing.card(home_of(home), about, passphrase_file, os.environ)
    write_new(out, (json.dumps(made, indent=1) + "\n").encode())
    shown = {name: made[name] for name in ("node_key", "region", "url", "until_ms")}
    emit_one({"file": str(out), **shown}, output)
    note(f"Next: a validator's owner runs `rustorium-node node announce {out} --owner-key FILE`.")


@shared_options
def announce(
    cards: Annotated[list[Path], typer.Argument(help="Files that `node card` wrote.")],
    owner_key: OwnerKeyOption,
    reaching: Reaching,
    owner_passphrase_file: OwnerPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """List nodes in the chain's directory, in which clients find the nearest ones. A node's earlier card is replaced.

    The owner's account keeps the cards of up to eight nodes. A follower's card can be listed by any owner."""
    from rustorium.net import listing

    with reaching.client() as client:
        owner = _owner(client, owner_key, owner_passphrase_file)
        listed, _ = listing.announce(client, owner, [listing.read_card(path, client.chain()) for path in cards])
    _emit(listed, output)


@shared_options
def withdraw(
    node_key: Annotated[str, typer.Argument(help="The node's key, as `geo nodes` shows it.", show_default=False)],
    owner_key: OwnerKeyOption,
    reaching: Reaching,
    owner_passphrase_file: OwnerPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Remove a node from the chain's directory. Clients that know it ask it for up to a quarter of an hour more."""
    from rustorium.net import listing

    with reaching.client() as client:
        listed, _ = listing.withdraw(client, _owner(client, owner_key, owner_passphrase_file), node_key)
    _emit(listed, output)


@shared_options
def nodes(reaching: Reaching, output: Output = Format.table) -> None:
    """List the nodes in the chain's directory, proven: those that a client with a place (`--at`) may ask."""
    with reaching.client() as client:
        found = client.directory()
    _emit(found, output)
    if not found:
        note("No validator's owner lists a node: `rustorium-node node card` and `node announce` do.")


def _owner(client: "Client", path: Path, passphrase_file: Path | None) -> "Key":
    """Opens the owner's key for its account. Errors: UsageError, KeyFileError."""
    from rustorium.access.keyfiles import public_part
    from rustorium.errors import UsageError
    from rustorium.home.rekey import Opener, opened_owner
    from rustorium.net.listing import region_of_owner

    path = path.expanduser()
    public = public_part(path)[1]
    if not public:
        raise UsageError(f"{path} hides its public key, by which its validator is found: give the owner's own key file")
    return opened_owner(path, region_of_owner(client, public), Opener(passphrase_file, os.environ))


def _emit(listed: "list[ListedNode]", output: Format) -> None:
    from rustorium.regions import region_name

    def row(one: "ListedNode") -> dict[str, Any]:
        place = [round(degrees, 4) for degrees in one.place] if one.place is not None else None
        return {"node_key": one.node_key, "region": one.region, "region_name": region_name(one.region), "place": place,
                "url": one.url, "until_ms": one.until_ms}  # fmt: skip

    emit([row(one) for one in listed], output, COLUMNS)
