"""`audit show`, `audit verify`, `audit anchor` and `audit export`."""

import json
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import (
    GenesisOption,
    HomeOption,
    KeyOption,
    NetOption,
    NodeOption,
    OutOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    TrustOptions,
    WitnessOption,
    client_of,
    home_of,
    key_of,
    max_age_s,
    named_out,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note

if TYPE_CHECKING:
    from rustorium.home.paths import Home

group = typer.Typer(help="A node's tamper-evident record of what operators and peers did.", no_args_is_help=True)

LogArgument = Annotated[
    Path | None,
    typer.Argument(help="Audit log file to read instead of a home's; needs --node-key.", show_default=False),
]
NodeKeyOption = Annotated[
    str | None,
    typer.Option(
        "--node-key",
        help="Public node key that signed the log: 64 hex digits, or with --genesis the validator's name. Default: the "
        "home's.",
    ),
]
AnchorOption = Annotated[
    str | None,
    typer.Option("--anchor", help="SEQ:HASH of a line that the log must contain, as an earlier check printed it."),
]


@group.command()
def show(
    home: HomeOption = None,
    event: Annotated[list[str] | None, typer.Option("--event", help="Show only events with this name; repeat.")] = None,
    last: Annotated[int | None, typer.Option("--last", min=1, help="Show only this many of the newest lines.")] = None,
    output: Output = Format.table,
) -> None:
    """Show the log's lines, oldest first. This command does not check them; `audit verify` does."""
    from rustorium.home.auditlog import log_of, read

    lines = (line for line in read(log_of(home_of(home))) if not event or line["event"] in event)
    found = list(deque(lines, maxlen=last))
    if output is Format.table:
        found = [row for line in found for row in _in_words(line)]
    emit(found, output, ["seq", "ts_ms", "event", "fields"])


def _in_words(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows that show a line: of operators' decisions one for each, in words."""
    from rustorium.home.decisions import EVENT, words

    said = words(line["fields"]) if line["event"] == EVENT else []
    return [line | {"fields": f"height {line['fields'].get('height')}: {one}"} for one in said] or [line]


@group.command()
def verify(
    log: LogArgument = None,
    home: HomeOption = None,
    node_key: NodeKeyOption = None,
    anchor: AnchorOption = None,
    account: Annotated[
        str | None,
        typer.Option(
            "--account", help="Address of the account whose anchor in the ledger the log must contain (`audit anchor`)."
        ),
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="<duration>",
            help="With --account: refuse a log whose anchor is older by this machine's clock, such as 1d.",
        ),
    ] = None,
    witness: WitnessOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 30.0,
    output: Output = Format.table,
) -> None:
    """Check the hash, signature and order of every line, and name the first line that was altered (exit code 4). With
    --account, also check that no line is missing that existed when the log was anchored. Lines above the anchor may be
    missing: it says how old the anchor is, and --max-age refuses an older one."""
    from rustorium.errors import UsageError, VerificationFailed
    from rustorium.home.auditlog import anchored_ms, check, get_anchor, parse_anchor

    if anchor is not None and account is not None:
        raise UsageError("--anchor and --account both name what the log must contain: give only one of them")
    if account is None and ((genesis is not None and node_key is None) or net is not None or node):
        raise UsageError("--genesis, --net and --node are for the anchor in the ledger: add --account, or omit them")
    if account is None and (max_age is not None or witness):
        raise UsageError("--max-age and --witness are for the anchor in the ledger: add --account, or omit them")
    allowed_s, (named, signer) = max_age_s(max_age), _named(log, home, node_key, genesis)
    written_ms = None
    if account is not None:
        trust = TrustOptions(witnesses=witness or ())
        with client_of(net, node, genesis, timeout_s, token_file=token_file, trust=trust) as client:
            anchor = get_anchor(client, account, signer)
            written_ms = anchored_ms(client, account, signer, anchor)
        _check_age(written_ms, allowed_s)
    at = parse_anchor(anchor) if anchor is not None else None
    found = asdict(check(named, signer, at))
    if not found["lines"]:
        raise VerificationFailed(
            f"{named} is empty, so it shows nothing, and every line may have been removed: look for a copy with lines",
            code="audit-refused",
        )
    if output is Format.table:
        print(f"VERIFIED: {found['lines']} lines, each signed by the node key {signer.hex()}")
    if at is None:
        note("Lines that were cut off the end are not noticed: --account or --anchor names what must be there.")
        emit_one(found, output)
        return
    age = f", and was written {_age(written_ms)} ago" if written_ms is not None else ""
    note(
        f"The anchor covers the first {at[0]} of {found['lines']} lines{age}. Later lines that are missing are not "
        f"noticed{': --max-age refuses an anchor that is too old' if account is not None else ''}."
    )
    emit_one(found | {"anchor": anchor, "anchored_ms": written_ms}, output)


@group.command("anchor")
def anchor_(
    key: KeyOption,
    log: LogArgument = None,
    home: HomeOption = None,
    node_key: NodeKeyOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Check the log and write the hash of its last line into the ledger, under the account of --key. After that, `audit
    verify --account` detects the removal of any line up to there. An older anchor of this log must still match."""
    from rustorium.errors import NotFound, UsageError
    from rustorium.home.auditlog import check, get_anchor, parse_anchor, put_anchor

    named, signer = _named(log, home, node_key)
    account = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        try:
            before = parse_anchor(get_anchor(client, account.address, signer))
        except NotFound:
            before = None
        found = check(named, signer, before)
        if not found.lines:
            raise UsageError(f"{named} is empty: there is nothing to anchor yet")
        done = put_anchor(client, account, signer, found.head)
    fields = {"head": found.head, "account": account.address, "transaction": done.id}
    if log is None:
        _tell(home_of(home), fields)
    emit_one(fields, output)


def _check_age(written_ms: int | None, allowed_s: float | None) -> None:
    """Refuses an anchor that was written longer ago than allowed, or at a time that nobody proves. Errors:
    VerificationFailed."""
    from rustorium.errors import VerificationFailed

    if allowed_s is None:
        return
    if written_ms is None:
        raise VerificationFailed(
            "no node that was asked proves when the anchor was written, so its age can't be judged: ask one that keeps "
            "more history (--node), or anchor the log again",
            code="anchor-too-old",
        )
    if time.time_ns() // 1_000_000 - written_ms > allowed_s * 1000:
        raise VerificationFailed(
            f"the newest anchor that was shown is {_age(written_ms)} old, so lines that were cut off since then "
            "would not be noticed: ask another node, or anchor the log again (`audit anchor`)",
            code="anchor-too-old",
        )


def _age(since_ms: int) -> str:
    seconds = max(0, time.time_ns() // 1_000_000 - since_ms) // 1000
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _named(
    log: Path | None, home: Path | None, node_key: str | None, genesis: Path | None = None
) -> tuple[Path, bytes]:
    """Returns a log and the public key that must have signed it. Errors: UsageError, HomeError."""
    from rustorium.errors import UsageError
    from rustorium.home.auditlog import log_of, signer_of
    from rustorium.home.keys import is_node_key

    if node_key is not None and not is_node_key(node_key):
        if genesis is None:
            raise UsageError(
                f"`{node_key}` is not a node key: give 64 hex digits, as `keys show` prints them, or a validator's "
                "name and --genesis"
            )
        node_key = _in_genesis(genesis, node_key)
    if log is not None and (home is not None or node_key is None):
        raise UsageError(
            "a log file needs --node-key and no --home, because it doesn't say who may sign it: give --node-key only"
        )
    signer = bytes.fromhex(node_key) if node_key is not None else signer_of(home_of(home))
    return log.expanduser() if log is not None else log_of(home_of(home)), signer


def _in_genesis(genesis: Path, name: str) -> str:
    """Returns the node key of a validator of the chain's first committee. Errors: UsageError, HomeError."""
    from rustorium import _native
    from rustorium.access.genesis import read_genesis
    from rustorium.errors import UsageError

    validators = json.loads(_native.genesis_describe(read_genesis(genesis.expanduser())))["validators"]
    found = next((str(one["node_key"]) for one in validators if one["name"] == name), None)
    if found is None:
        named = ", ".join(str(one["name"]) for one in validators)
        raise UsageError(f"{genesis} has no validator {name!r}: it has {named}")
    return found


def _tell(home: "Home", fields: dict[str, str]) -> None:
    """Lets the running node, if any, write the anchor into its log, too."""
    from rustorium.errors import NotReady
    from rustorium.node.admin.socket import call

    with suppress(NotReady):
        call(home.admin_socket, "note_anchor", fields=fields)


@group.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="File to write; it must not exist. Or name it by --out.")] = None,
    out: OutOption = None,
    home: HomeOption = None,
    output: Output = Format.table,
) -> None:
    """Check the log, copy all of it, and print what an auditor needs to check the copy."""
    from rustorium.home.auditlog import check, export_to, log_of, signer_of

    path, found = named_out(file, out), home_of(home)
    signer = signer_of(found)
    export_to(log_of(found), path)
    emit_one(asdict(check(path, signer)) | {"node_key": signer.hex()}, output)
    note(f"To check {path}, run `rustorium audit verify {path} --node-key {signer.hex()}`.")
