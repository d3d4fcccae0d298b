"""The file `devnet.json`: a net's genesis, nodes and funded accounts, as commands and clients read it.

Invariants: written whole by a rename; paths are absolute; it holds no secret.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rustorium.access.tls import Tls
from rustorium.errors import UsageError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class NetNode:
    """A validator: URLs of its HTTP and metrics interfaces, host:port of its peer links and of its QUIC client
    interface."""

    name: str
    index: int
    region: str
    http: str
    p2p: str
    metrics: str
    client: str
    pid: int
    home: str


@dataclass(frozen=True, slots=True)
class NetAccount:
    """A funded account and the file of its key."""

    address: str
    key_file: str


@dataclass(frozen=True, slots=True)
class Net:
    """Content of the file."""

    chain: str
    """Genesis hash, hex."""
    genesis: str
    """Path of the genesis file."""
    name: str
    asset: str
    """An asset that every account holds."""
    nodes: list[NetNode]
    accounts: list[NetAccount]
    ca: str = ""
    """Path of the certificate that nodes' certificates come from; empty: the nodes have no TLS."""
    format: int = FORMAT
    """Format of this file; a file without the field has format 1."""

    @property
    def endpoints(self) -> list[str]:
        return [node.http for node in self.nodes]

    @property
    def tls(self) -> Tls | None:
        """The authority that the net's clients trust; `None` if the nodes have no TLS."""
        return Tls(ca=self.ca) if self.ca else None

    def write(self, path: Path) -> None:
        """Replaces the file at `path`."""
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        os.replace(partial, path)


class _Format(msgspec.Struct):
    """The part of the file that is the same in every format."""

    format: int = FORMAT


def read_net(path: str | Path) -> Net:
    """Reads a `devnet.json`, or the one in the given folder. Errors: UsageError."""
    path = Path(path)
    file = path / "devnet.json" if path.is_dir() else path
    try:
        content = file.read_bytes()
        found = msgspec.json.decode(content, type=_Format).format
        if found > FORMAT:
            raise UsageError(
                f"{file} has format {found}, and this release knows formats up to {FORMAT}: use the release that wrote "
                "it, or a newer one"
            )
        return msgspec.json.decode(content, type=Net)
    except OSError as error:
        raise UsageError(f"{file} can't be read ({error.strerror}): name the devnet.json of a running devnet") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not a devnet.json ({error}): name another file") from None
