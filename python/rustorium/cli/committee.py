"""`node add`, `list`, `remove`, `end-epoch`, `replace-key` and `set-owner`: changes of the committee."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import (
    GenesisOption,
    HomeOption,
    KeyOption,
    NetOption,
    NodeOption,
    OwnerPassphraseOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    home_of,
    key_of,
    net_of,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note
from rustorium.cli.sending import Reaching
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rustorium.client import Client, Key
    from rustorium.net.joining import Joiner

group = typer.Typer(
    help="Add validators to a running net, remove them, list them, replace their keys.", no_args_is_help=True
)
ANSWER_S = 10.0
"""Maximum time for the net's first answer, before anything is made."""
FAULT_TOLERANT_MIN = 4
"""The smallest committee that makes blocks without one of its members."""
HomeArgument = Annotated[Path, typer.Option("--home", help="Folder to make, or one that an earlier `node add` made.")]


@group.command("list")
@shared_options
def list_(
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """List the committee of the current epoch."""
    from rustorium.regions import region_name

    with reaching.client() as client:
        answer = client.validators()
    found = None if reaching.node else net_of(reaching.net)
    labels = [one.region for one in found.nodes] if found is not None else []
    rows = [
        {"index": index, **one, "region_name": region_name(int(one["region"]), labels)}
        for index, one in enumerate(answer["validators"])
    ]
    emit(rows, output, ["index", "name", "region_name", "validator_key", "address"])
    if answer["next"] != answer["validators"]:
        names = ", ".join(str(one["name"]) for one in answer["next"])
        note(f"epoch {answer['epoch']}; in the next one: {names}")


@group.command()
def add(
    home: HomeArgument,
    key: KeyOption,
    region: Annotated[
        str | None,
        typer.Option(
            "--region", help="Region of the validator: asia-northeast, eu-west-1, … Default: one of the net's regions."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The validator's name. Default: the home's.")] = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 120.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Make a home on this machine for a new validator of a net, start it, sync it, and let it vote from the next epoch
    on.

    `--key` is an operator's. On a chain of version 2 its seat proposes the validator; if more seats must approve, the
    command prints the proposal's number, and each of the others runs `govern approve`. On a chain of version 1 its
    account approves; if more operators must, the command writes HOME.admit.json, and each of them sends it with `tx
    send`. After an interruption, run the command again."""
    from rustorium.access.genesis import read_genesis
    from rustorium.access.passphrases import find_passphrase
    from rustorium.errors import UsageError
    from rustorium.net.joining import (
        allow_follower,
        make_joiner,
        next_in_turn,
        resume_joiner,
        start_and_sync,
    )
    from rustorium.regions import parse_region, region_name

    found = net_of(net)
    if found is None and not (node and genesis):
        raise UsageError("no net is named: give --net devnet.json, or --node URL with --genesis FILE")
    labels = [one.region for one in found.nodes] if found is not None else []
    byte = parse_region(region, labels) if region is not None else None
    signer = key_of(key, passphrase_file)
    file = genesis or Path(found.genesis if found is not None else "")
    content = read_genesis(file)
    path = home.expanduser().absolute()
    owner = path.with_name(f"{path.name}.owner.key")
    with client_of(net, node, file, min(timeout_s, ANSWER_S), token_file=token_file) as client:
        _check_operator(client, content, signer)
        known = client.validators()
    if byte is None:
        byte = next_in_turn([int(one["region"]) for one in known["validators"]])
    passphrase = find_passphrase(file, passphrase_file, os.environ)
    joiner = resume_joiner(path, owner, content, byte, passphrase)
    if joiner is not None:
        note(f"{path} exists already; continuing with it.")
    else:
        others = {one.name: one.p2p for one in found.nodes} if found is not None else {}
        joiner = make_joiner(file, others, known, path, name or path.name, byte, passphrase=passphrase, owner=owner)
        note(f"Made {path} and {owner}. The node starts and follows the chain.")
    missing = allow_follower([Path(one.home) for one in found.nodes] if found is not None else [], joiner.node_key)
    if missing or found is None:
        note(
            "Until the new node is a member, validators must name it as a follower: on each validator's machine, "
            f"run `rustorium-node followers add {joiner.node_key}`"
        )
    pid = start_and_sync(joiner, passphrase, timeout_s, note)
    note(f"{joiner.name} is synced and is being admitted.")
    with client_of(net, node, file, timeout_s, token_file=token_file) as client:
        proposal = _admit(client, joiner, signer, path.with_name(f"{path.name}.admit.json"))
        epoch = None if proposal else _awaited(client, content, joiner.validator_key, True, timeout_s)
    emit_one(
        {"name": joiner.name, "region": region_name(byte, labels), "home": str(path), "pid": pid, "epoch": epoch,
         "validator_key": joiner.validator_key, "owner_key_file": str(owner), "proposal": proposal},
        output,
    )  # fmt: skip


def _check_operator(client: "Client", genesis: bytes | None, signer: "Key") -> bool:
    """Checks that a key is an operator's, before anything is made. Returns whether operators act by seats. Errors:
    UsageError."""
    from rustorium.net.governing import by_seats, seat_alone
    from rustorium.net.joining import check_operator

    if by_seats(client):
        seat_alone(client.governance(), signer)
        return True
    if genesis is not None:
        check_operator(genesis, signer)
    return False


def _admit(client: "Client", joiner: "Joiner", signer: "Key", approval: Path) -> int | None:
    """Has an operator approve a new validator, by its seat or its account. Returns the number of the proposal that
    waits for other seats, if there is one. `approval`: the file for the accounts of other operators."""
    from rustorium.errors import NotFound
    from rustorium.net import joining
    from rustorium.net.governing import by_seats
    from rustorium.types import Subject

    if not by_seats(client):
        joining.admit(client, joiner, signer)
        if joining.note_admission(client, joiner, approval):
            note(f"More operators must approve: each runs `rustorium tx send {approval} --key KEY_FILE`.")
        else:
            note("Admitted. It votes from the next epoch on.")
        return None
    if joining.is_wanted(client, joiner):
        note("Admitted. It votes from the next epoch on.")
        return None
    try:
        client.held(Subject(signer.address))
    except NotFound:
        note("The operator has no account, so the owner gets none: make one with `rustorium account create`.")
    else:
        joining.make_owner(client, joiner, signer)
    return _decide(client, joining.admission(client, joiner), signer, "Admitted. It votes from the next epoch on.")


def _decide(client: "Client", change: "Mapping[str, Any]", signer: "Key", made: str) -> int | None:
    """Has an operator's seat approve a change, and says what came of it: `made`, or who must approve. Returns the
    number of the proposal that waits, if there is one."""
    from rustorium.net.governing import decide

    found = decide(client, change, signer)
    if found.proposal is None:
        note(made)
        return None
    note(
        f"Proposal {found.proposal} has {found.approvals} of {found.quorum} approvals: other operators run "
        f"`rustorium-node govern approve {found.proposal} --key KEY_FILE`, and `govern show {found.proposal}` before."
    )
    return found.proposal


@group.command()
def apply(
    file: Annotated[Path, typer.Argument(help="File that the validator's `init -o json` printed.")],
    out: Annotated[Path, typer.Option("--out", help="File to write, for the operators; it must not exist.")],
    home: HomeOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Write the operation by which operators admit the validator of a home that its party made by `init`. No operator's
    key is needed.

    Each of the operators sends the file with `tx send`. One of them first makes the owner's account: `account create`
    takes what this command prints with `-o json`."""
    import json

    from rustorium.access.files import write_new
    from rustorium.net.joining import application
    from rustorium.net.parties import read_party

    found, party = home_of(home), read_party(file)
    known = net_of(net) if not node else None
    nodes = node or ([one.http for one in known.nodes] if known is not None else None)
    with client_of(None, nodes, found.genesis, timeout_s, token_file=token_file, nodes_of=known) as client:
        owner, operation = application(client, party, found, passphrase_file, os.environ)
    write_new(out, (json.dumps([operation], indent=1) + "\n").encode())
    emit_one(
        {"file": str(out), "name": party.name, "validator_key": party.validator_key, "node_key": party.node_key,
         "address": owner, "public_key": party.owner_key, "region": party.region},
        output,
    )  # fmt: skip
    note(
        f"Next: each validator's operator runs `rustorium-node followers add {party.node_key}`, one operator makes the "
        f"owner's account {owner}, a quorum of them runs `rustorium tx send {out}`, and the validator starts."
    )


@group.command()
def remove(
    validator: Annotated[str, typer.Argument(help="The validator's name or validator key.")],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Remove a validator from the committee from the next epoch on. It continues to follow the chain until you stop
    it."""
    from rustorium.access.genesis import read_genesis
    from rustorium.net.joining import find
    from rustorium.net.joining import remove as send_removal

    signer = key_of(key, passphrase_file)
    known = net_of(net)
    file = genesis or (Path(known.genesis) if known is not None else None)
    content = read_genesis(file) if file is not None else None
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        seats = _check_operator(client, content, signer)
        one = find(client.validators()["validators"], validator)
        proposal = None
        if seats:
            left = len(client.validators()["next"]) - 1
            change = {"type": "remove_validator", "validator_key": one["validator_key"]}
            proposal = _decide(client, change, signer, f"{one['name']} leaves with this epoch; {left} stay")
        else:
            send_removal(client, one, signer)
            left = len(client.validators()["next"])
            note(f"{one['name']} leaves with this epoch; {left} stay")
        if left < FAULT_TOLERANT_MIN:
            note(f"A committee of {left} tolerates no fault: if one member fails, the chain stops until it is back.")
        epoch = None if proposal else _awaited(client, content, str(one["validator_key"]), False, timeout_s)
    row = {"name": one["name"], "validator_key": one["validator_key"], "epoch": epoch, "proposal": proposal}
    emit_one(row, output)


@group.command("end-epoch")
def end_epoch(
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Approve, as an operator, that the epoch ends now, before its usual end, so that a changed committee takes effect
    at once.

    The epoch ends once enough operators have approved: each of them runs this command, or on a chain of version 2 also
    `govern approve`."""
    from rustorium.net.governing import by_seats
    from rustorium.net.joining import end_epoch as send_end

    signer, proposal = key_of(key, passphrase_file), None
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        if by_seats(client):
            epoch = int(client.validators()["epoch"])
            proposal = _decide(client, {"type": "end_epoch", "epoch": epoch}, signer, f"Epoch {epoch} ends.")
        else:
            epoch = send_end(client, signer)
    emit_one({"epoch": epoch, "approved": "its end", "proposal": proposal}, output)


def _awaited(client: "Client", genesis: bytes | None, validator_key: str, member: bool, timeout_s: float) -> int:
    """Returns the epoch from which the validator is a member or no member; waits for it if it can begin in time."""
    from rustorium.net.joining import epoch_may_end_ms, wait_for_committee

    answer = client.validators()
    if member == any(one["validator_key"] == validator_key for one in answer["validators"]):
        return int(answer["epoch"])
    until_ms = epoch_may_end_ms(client) if genesis is not None else 0
    if until_ms / 1000 - time.time() > timeout_s:
        at = datetime.fromtimestamp(until_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        note(f"This epoch continues until {at}, or until operators end it with `rustorium-node node end-epoch`.")
        return int(answer["epoch"]) + 1
    return wait_for_committee(client, validator_key, member, timeout_s)


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
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    owner_passphrase_file: OwnerPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Give the validator of a stopped home a new key, signed by its owner. Use it when the old key is retired.

    The command uses the home's genesis. After an interruption, run it again; then run `start`."""
    from rustorium.errors import UsageError
    from rustorium.home.lock import stopped
    from rustorium.home.rekey import Opener, found_passphrase, owner_file
    from rustorium.home.rekey import replace_key as replace

    found = home_of(home)
    opener = Opener(found_passphrase(found, passphrase_file), os.environ, owner_passphrase_file)
    owner = owner_file(found, owner_key)
    others, known = node, net_of(net) if not node else None
    if known is not None:
        others = [one.http for one in known.nodes if Path(one.home) != found.path]
    if not others:
        raise UsageError("no other node is named: give --net devnet.json, or --node with the URL of another node")
    asked = client_of(None, others, found.genesis, timeout_s, token_file=token_file, nodes_of=known)
    with stopped(found), asked as client:
        done = replace(found, client, owner, opener)
    emit_one(
        {"home": str(found.path), "old_validator_key": done.old_key, "validator_key": done.new_key,
         "old_files": str(done.kept)},
        output,
    )  # fmt: skip
    note(
        f"Next: `rustorium-node start --home {found.path}`. It votes from the next epoch on; operators begin that "
        "with `rustorium-node node end-epoch`."
    )


@group.command("set-owner")
def set_owner(
    validator: Annotated[str, typer.Argument(help="The validator's name, validator key or number.")],
    new_owner_key: Annotated[
        Path,
        typer.Option("--new-owner-key", help="The new owner's key file, which proves that somebody holds the key."),
    ],
    owner_key: Annotated[Path | None, typer.Option("--owner-key", help="The present owner's key file.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the change to this new file, for `govern propose change`, and send nothing."),
    ] = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 60.0,
    passphrase_file: PassphraseOption = None,
    owner_passphrase_file: OwnerPassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Give a validator another owner from the next epoch on, once an epoch, on a chain of version 2.

    If the present owner's key is stolen or lost, write the change with --out and have the operators propose it."""
    import json

    from rustorium.access.files import write_new
    from rustorium.errors import UsageError
    from rustorium.home.owning import new_owner, owner_named, send
    from rustorium.home.rekey import Opener, opened_owner

    if (owner_key is None) == (out is None):
        raise UsageError("nobody signs: give --owner-key FILE, or --out FILE to have the operators propose the change")
    new = opened_owner(new_owner_key, 0, Opener(passphrase_file, os.environ))
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        owner = owner_named(client.governance(), validator)
        change = new_owner(client.chain(), owner, new)
        row = {"number": owner["number"], "validator_key": owner["validator_key"], "owner_key": owner["owner_key"],
               "new_owner_key": new.public_key}  # fmt: skip
        if out is not None:
            write_new(out, (json.dumps(change, indent=1) + "\n").encode())
            emit_one({**row, "file": str(out)}, output)
            note(f"Next: an operator runs `rustorium-node govern propose change {out}`.")
            return
        if owner_key is not None:
            opener = Opener(owner_passphrase_file or passphrase_file, os.environ)
            send(client, owner, change, opened_owner(owner_key, 0, opener))
    emit_one({**row, "file": None}, output)
    note(
        "The new key acts for the validator from now on. Keep the former one until the next epoch: it would sign the "
        "end of this one (`recover committee`)."
    )
