"""Options that several command groups share, and functions that turn them into objects."""

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rustorium.access.bearer import Tokens
    from rustorium.access.netfile import Net
    from rustorium.access.tls import Tls
    from rustorium.client import Client, Key
    from rustorium.home.paths import Home
    from rustorium.node.admin.remote import Remote

CONTENT_BYTES_MAX = 16 * 1024 * 1024
"""The largest file that a command reads whole. Keys, checkpoints, operations and signed transactions are smaller."""

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Home of the node. Default: RUSTORIUM_HOME, or the only home in ~/.rustorium."),
]
PassphraseOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File (0600) with the passphrase of the key.")
]
OwnerPassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--owner-passphrase-file",
        help="File (0600) with the passphrase of the owner's key. Default: as for the home's keys.",
    ),
]
NetOption = Annotated[
    Path | None,
    typer.Option("--net", help="The net's devnet.json: endpoints, genesis and accounts. Default: RUSTORIUM_NET."),
]
NodeOption = Annotated[
    list[str] | None, typer.Option("--node", help="URL of a node's HTTP API, instead of --net; repeat.")
]
GenesisOption = Annotated[Path | None, typer.Option("--genesis", help="The chain's genesis file; needed with --node.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE of a chain parameter, such as epoch_ms=3600000; repeat."),
]
PresetOption = Annotated[
    Literal["private", "consortium", "open"],
    typer.Option(
        "--preset",
        help="Quotas of accounts and sponsors: private for one organisation, consortium for several, each a sponsor, "
        "open for strangers' accounts.",
    ),
]
ShardOption = Annotated[int, typer.Option("--shard", min=0, help="The shard's number, as `shard list` shows it.")]
ShardsOption = Annotated[
    int,
    typer.Option(
        "--shards", min=1, max=16, help="Number of shards; every validator is in all of them, unless --committees."
    ),
]
CommitteesOption = Annotated[
    bool, typer.Option("--committees", help="Give each shard validators of its own, in place of all.")
]
CoresOption = Annotated[
    int, typer.Option("--cores", min=1, max=1024, help="Cores of each validator, by which the preset's work is scaled.")
]
CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", help="Checkpoint file to start from instead of the genesis.")
]
TrustFileOption = Annotated[
    Path | None,
    typer.Option(
        "--trust-file",
        help="File that stores between calls which committee to trust and which height was verified; created if "
        "missing.",
    ),
]
TrustPeriodOption = Annotated[
    str | None,
    typer.Option(
        "--trust-period",
        metavar="<duration>",
        help="How long retired committees are trusted, such as 30d; never: they stay trusted without limit.",
    ),
]
MaxAgeOption = Annotated[
    str | None,
    typer.Option(
        "--max-age",
        metavar="<duration>",
        help="Highest age of the proof's block by this machine's clock, such as 60s.",
    ),
]
WitnessOption = Annotated[
    list[str] | None, typer.Option("--witness", help="URL of another node that must have the proof's block; repeat.")
]
KeyOption = Annotated[
    Path, typer.Option("--key", help="Key file of the account that signs, or unix:SOCKET?key=PUBLIC_KEY.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File (0600) with a token for the node, or a line `URL rsk_…` for each node that requires one. "
        "Default: RUSTORIUM_TOKEN_FILE.",
    ),
]
AdminUrlOption = Annotated[
    str | None,
    typer.Option(
        "--admin-url", help="URL of a node's admin plane, instead of its home: http://127.0.0.1:26661, https://…."
    ),
]
AdminTokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="File (0600) with a token, for --admin-url. Default: RUSTORIUM_ADMIN_TOKEN_FILE."
    ),
]
ProofOutOption = Annotated[
    Path | None, typer.Option("--proof-out", help="Write the proof to this new file; `verify` checks it offline.")
]

OutOption = Annotated[Path | None, typer.Option("--out", help="The file or folder to write, by option.")]


def named_out(argument: Path | None, option: Path | None) -> Path:
    """Returns the file to write, which is an argument or the value of --out. Errors: UsageError."""
    from rustorium.errors import UsageError

    if argument is not None and option is not None:
        raise UsageError(f"{argument} and --out {option} both name what to write: give only one of them")
    named = argument or option
    if named is None:
        raise UsageError("nothing says where to write: add --out PATH")
    return named.expanduser()


LEAST_S, DAYS_MAX = 0.1, 90
"""Shortest and longest duration that an option takes."""


def seconds(given: str | float) -> float:
    """Parses the duration of an option: 90s, 5m or 2h; a plain number counts seconds. Errors: UsageError."""
    if isinstance(given, float):
        return given
    from rustorium.errors import UsageError
    from rustorium.observe.watching import seconds_of

    found = seconds_of(f"{given}s" if given.replace(".", "", 1).isdigit() else given, "the duration", DAYS_MAX)
    if found < LEAST_S:
        raise UsageError(f"the duration {given!r} is too short: give at least {LEAST_S:g} s")
    return found


def duration(*names: str, text: str) -> Any:
    """Returns an option that takes a duration."""
    return typer.Option(*names, parser=seconds, metavar="<duration>", help=text)


TIMEOUT, EVERY = ("--timeout", "--timeout-s"), ("--every", "--every-s")
TimeoutOption = Annotated[float, duration(*TIMEOUT, text="Timeout, such as 30s or 2m.")]
NodeTimeoutOption = Annotated[float, duration(*TIMEOUT, text="Timeout for each node, such as 3s.")]
EncodingHelp = "How keys and values are written: utf8, hex or base64."


def home_of(path: Path | None) -> "Home":
    """Returns the home that a command uses. Errors: HomeMissing."""
    from rustorium.errors import HomeMissing
    from rustorium.home.paths import Home, default_home

    found = path or default_home(os.environ)
    if found is None:
        raise HomeMissing("no home is named: give --home or set RUSTORIUM_HOME")
    return Home(found.expanduser().absolute())


def net_of(path: Path | None) -> "Net | None":
    """Returns the content of the net file; `None` if none is named. Errors: UsageError."""
    from rustorium.access.netfile import read_net

    named = path or (Path(os.environ["RUSTORIUM_NET"]) if os.environ.get("RUSTORIUM_NET") else None)
    return read_net(named.expanduser()) if named is not None else None


def token_of(path: Path | None, admin_url: str | None = None) -> "Tokens | None":
    """Returns the tokens for nodes' gateways; `None` if no file is named. With `admin_url`, one token without a URL is
    for the admin plane, not for a gateway. Errors: KeyFileError."""
    if path is None and not os.environ.get("RUSTORIUM_TOKEN_FILE"):
        return None
    from rustorium.home.tokens import named_tokens

    tokens = named_tokens(path, os.environ)
    if admin_url is not None and path is not None and isinstance(tokens, str):
        return named_tokens(None, os.environ)
    return tokens


def tls_of(net: "Net | None" = None) -> "Tls | None":
    """Returns the TLS files of commands: those of the global options, of the environment, or of a devnet."""
    from rustorium.access.tls import named_tls

    return named_tls(None, None, None, os.environ, net.ca if net is not None else "")


def plane_of(home: Path | None, admin_url: str | None, token_file: Path | None) -> "Path | Remote":
    """Returns the admin plane that a command uses: a home's socket or a remote one. Errors: UsageError,
    KeyFileError."""
    from rustorium.errors import UsageError

    if admin_url is None:
        if token_file is not None:
            raise UsageError("--token-file gives a token for a remote admin plane: name the plane with --admin-url")
        return home_of(home).admin_socket
    from rustorium.access.bearer import tokens_by_url
    from rustorium.home.tokens import ADMIN_VARIABLE, named_tokens
    from rustorium.node.admin.remote import Remote

    if home is not None:
        raise UsageError("--home and --admin-url both name a node: give only one of them")
    token = tokens_by_url([admin_url], named_tokens(token_file, os.environ, ADMIN_VARIABLE))[admin_url]
    if token is None:
        raise UsageError("a remote admin plane requires a token: name its file with --token-file")
    return Remote(admin_url, token, tls_of())


def client_of(
    net: Path | None,
    nodes: list[str] | None,
    genesis: Path | None,
    timeout_s: float,
    checkpoint: Path | None = None,
    *,
    token_file: Path | None,
    trust: "TrustOptions | None" = None,
    nodes_of: "Net | None" = None,
) -> "Client":
    """Returns a client of the named net or nodes; the nodes may be some of `nodes_of`. Errors: UsageError,
    KeyFileError."""
    from rustorium.access.genesis import read_genesis
    from rustorium.errors import UsageError

    token = token_of(token_file)
    if nodes:
        pinned = read_genesis(genesis) if genesis is not None else None
        return _client(nodes, pinned, checkpoint, timeout_s, token, trust, tls_of(nodes_of))
    found = net_of(net)
    if found is None:
        raise UsageError(
            "no net is named: give --net devnet.json or set RUSTORIUM_NET, or give --node URL with --genesis FILE"
        )
    pinned = read_genesis(Path(found.genesis))
    if genesis is not None and read_genesis(genesis) != pinned:
        raise UsageError(f"{genesis} is not the genesis of the net, which is {found.genesis}: give only one of them")
    return _client(found.endpoints, pinned, checkpoint, timeout_s, token, trust, tls_of(found))


def readable(encoding: str, *parts: bytes | None) -> tuple[list[str | None], str]:
    """Shows bytes in an encoding, or all of them as hex digits if one isn't text in it; says which encoding it was, so
    that one binary key doesn't keep a whole list from being shown."""
    from rustorium.client import bytes_to_text
    from rustorium.errors import UsageError

    try:
        return [bytes_to_text(part, encoding) if part is not None else None for part in parts], encoding
    except UsageError:
        return [part.hex() if part is not None else None for part in parts], "hex"


@dataclass(frozen=True)
class TrustOptions:
    """The options about a client's trust."""

    file: Path | None = None
    period: str | None = None
    max_age: str | None = None
    witnesses: Sequence[str] = ()


def trust_period_s(text: str | None) -> float | None:
    """Returns the seconds of --trust-period; `None` if it isn't given. Errors: UsageError."""
    if text is None or text == "never":
        return math.inf if text else None
    from rustorium.observe.watching import seconds_of

    return seconds_of(text, "--trust-period", days_max=10_000)


def max_age_s(text: str | None) -> float | None:
    """Returns the seconds of --max-age; `None` if it isn't given. Errors: UsageError."""
    if text is None:
        return None
    from rustorium.observe.watching import seconds_of

    return seconds_of(text, "--max-age", days_max=10_000)


def _client(
    endpoints: list[str],
    genesis: bytes | None,
    checkpoint: Path | None,
    timeout_s: float,
    token: "Tokens | None",
    trust: TrustOptions | None,
    tls: "Tls | None",
) -> "Client":
    from rustorium.client import Client

    named = trust or TrustOptions()
    return Client(
        endpoints,
        genesis=genesis,
        checkpoint=_content(checkpoint),
        trust_period_s=trust_period_s(named.period),
        trust_file=named.file,
        max_age_s=max_age_s(named.max_age),
        witnesses=named.witnesses,
        timeout_s=timeout_s,
        token=token,
        tls=tls,
    )


def content_of(path: Path) -> bytes:
    """Returns a file's content, or that of the standard input for `-`. Errors: UsageError."""
    from rustorium.errors import UsageError

    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(CONTENT_BYTES_MAX + 1)
        else:
            with path.expanduser().open("rb") as file:
                content = file.read(CONTENT_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name a file that can") from None
    if len(content) > CONTENT_BYTES_MAX:
        raise UsageError(
            f"{path} has more than {CONTENT_BYTES_MAX >> 20} MiB, which no such file has: name another one"
        )
    return content


def _content(path: Path | None) -> bytes | None:
    return content_of(path) if path is not None else None


def key_of(path: Path, passphrase_file: Path | None) -> "Key":
    """Opens an account's key file. Errors: KeyFileError."""
    from rustorium.client import Key

    return Key.open(path.expanduser(), passphrase_file)


def parameters_of(named: list[str]) -> dict[str, Any]:
    """Parses NAME=VALUE of chain parameters. Errors: UsageError."""
    from rustorium.errors import UsageError

    found: dict[str, Any] = {}
    for one in named:
        name, equals, value = one.partition("=")
        try:
            found[name] = json.loads(value)
        except ValueError:
            equals = ""
        if not equals or name in ("operators", "operator_quorum"):
            raise UsageError(f"--set {one} is no NAME=VALUE of a chain parameter, such as epoch_ms=3600000")
    return found
