"""`govern`: operators' seats propose changes of a chain of version 2, approve them and look at them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import (
    PassphraseOption,
    TimeoutOption,
    content_of,
    duration,
    key_of,
    parameters_of,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note
from rustorium.cli.sending import Reaching, read_authority, signing_row, submitted_row
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from rustorium.client import Client

group = typer.Typer(help="Change the chain as its operators: propose, approve, look.", no_args_is_help=True)
propose = typer.Typer(help="Propose a change, which is its proposer's approval.", no_args_is_help=True)
group.add_typer(propose, name="propose")

KeyOption = Annotated[
    Path | None, typer.Option("--key", help="Key file of an operator whose key acts for its seat alone.")
]
UnsignedOption = Annotated[
    Path | None,
    typer.Option(
        "--unsigned",
        help="For a seat of several keys: write the transaction to this new file, which `tx sign` signs and `tx send` "
        "sends.",
    ),
]
AuthorityOption = Annotated[
    Path | None, typer.Option("--authority", help="With --unsigned: file of the seat's authority.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and send nothing.")]
OpenOption = Annotated[float, duration("--open-for", text="Time for which the proposal is open, up to 7d.")]
PauseOption = Annotated[float, duration("--for", text="Time for which the pause lasts, up to 7d.")]
AccountArgument = Annotated[
    str | None, typer.Argument(help="Account, verifier or pool. Without it: all accounts.", show_default=False)
]
SponsoredArgument = Annotated[str, typer.Argument(help="The account, such as rs1….")]
ShareOption = Annotated[
    float, typer.Option("--share", min=0.0001, max=100, help="Share of the chain's work and history, percent.")
]
HistoryShareOption = Annotated[
    float | None,
    typer.Option("--history-share", min=0.0001, max=100, help="Share of the chain's history, if another one, percent."),
]
EndOption = Annotated[
    float | None, duration("--for", text="Time after which what was before holds again, up to 90d. Default: no end.")
]
AfterOption = Annotated[
    float,
    duration("--after", text="Time before which no epoch's end takes it, up to 30d: for validators to be updated."),
]
NumberArgument = Annotated[int, typer.Argument(min=1, help="The proposal's number.")]
DAY_S = 24 * 3600.0
FILE_VALID_S = 12 * 3600.0


@dataclass(frozen=True)
class Patient(Reaching):
    """Which net is asked, by a command that waits for a transaction's end."""

    timeout_s: TimeoutOption = 60.0


@dataclass(frozen=True)
class Acting(Patient):
    """Who acts for which seat, of which net."""

    key: KeyOption = None
    passphrase_file: PassphraseOption = None
    unsigned: UnsignedOption = None
    authority: AuthorityOption = None

    def finish(self, client: "Client", answer: Mapping[str, Any], operation: dict[str, Any]) -> dict[str, object]:
        """Sends the operation, or writes it to the file of --unsigned. Returns the row to print. `answer`: the client's
        `governance()`. Errors: UsageError, FileExists, and those of the client."""
        from rustorium.access.files import write_new
        from rustorium.errors import UsageError
        from rustorium.net.governing import prepare, send

        if self.unsigned is not None:
            if self.key is not None or self.authority is None:
                raise UsageError("--unsigned needs --authority, and no --key: the keys sign the file later")
            file = prepare(client, answer, operation, read_authority(self.authority), FILE_VALID_S)
            write_new(self.unsigned, file.to_bytes())
            note(f"The transaction is in {self.unsigned}. `rustorium tx sign` adds a signature.")
            return signing_row(file, self.unsigned)
        if self.key is None:
            raise UsageError("nobody signs: give --key FILE, or --unsigned FILE and --authority FILE to sign later")
        return submitted_row(send(client, answer, operation, key_of(self.key, self.passphrase_file)))

    def propose(
        self, client: "Client", answer: Mapping[str, Any], change: dict[str, Any], proposing: "Proposing"
    ) -> None:
        """Shows a change, and proposes it unless this is a dry run. `answer`: the client's `governance()`. Errors:
        UsageError, and those of the client."""
        from rustorium import _native
        from rustorium.net.governing import differences, effect, in_ms

        lines, when = differences(answer["wanted"], change), effect(answer, change)
        for line in lines or ["Nothing changes."]:
            note(line)
        if proposing.dry_run:
            note("Nothing was sent.")
            emit_one({"number": answer["next_proposal"], "changes": lines, "effect": when}, proposing.output)
            return
        until_ms = in_ms(answer, proposing.open_s)
        row = self.finish(client, answer, {"type": "propose", "change": change, "until_ms": until_ms})
        if self.unsigned is None:
            # Another seat may have proposed meanwhile, so the number isn't known before.
            _say_state(client, "hash", _native.change_hash(json.dumps(change)), when)
        emit_one(row, proposing.output)


@dataclass(frozen=True)
class Proposing:
    """The options of a proposal."""

    dry_run: DryRunOption = False
    open_s: OpenOption = DAY_S
    output: Output = Format.table


def _say_state(client: "Client", field: str, value: object, when: str) -> None:
    """Says what came of the newest proposal with this number or hash."""
    from rustorium.net.governing import row

    now = client.governance()
    found = next((row(now, one) for one in reversed(now["proposals"]) if one[field] == value), None)
    if found is not None and found["made"]:
        note(f"The change is made, and takes effect {found['effect']}. All seats together let it come earlier.")
    elif found is not None:
        note(
            f"Proposal {found['number']} has {len(found['approvals'])} of {now['quorum']} approvals, and is open until "
            f"{found['until']}."
        )
    else:
        note(f"The change is made, and takes effect {when}.")


@group.command()
@shared_options
def seats(
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """List the operators' seats, as a node reports them."""
    with reaching.client() as client:
        answer = client.governance()
    rows = [
        {
            "number": seat["number"],
            "first_key": seat["first_key"],
            "public_key": seat.get("public_key"),
            "authority_hash": seat.get("authority_hash"),
            "generation": seat["generation"],
            "nonce": seat["nonce"],
            "room": seat["room"],
        }
        for seat in answer["seats"]
    ]
    emit(rows, output, ["number", "public_key", "authority_hash", "room"])
    note(f"{answer['quorum']} of {len(rows)} seats make a change.")


@group.command("list")
@shared_options
def list_(
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """List the open proposals, as a node reports them, and what is paused."""
    from rustorium.client.moments import moment
    from rustorium.net.governing import row

    with reaching.client() as client:
        answer = client.governance()
    emit([row(answer, one) for one in answer["proposals"]], output, ["number", "change", "missing", "until"])
    for one in answer["pauses"]:
        note(f"{one.get('account') or 'All accounts'}: paused until {moment(int(one['until_ms']))}")
    if (found := answer.get("replacement")) is not None:
        keys = ", ".join(found["operators"])
        note(
            f"Validators' owners decided that other operators govern from {moment(found['from_ms'])} on, "
            f"{found['quorum']} of {keys}. If the present seats aren't lost, `govern propose operators` keeps them."
        )
    if (upgrade := answer.get("upgrade")) is not None:
        names = ", ".join(upgrade["speaking"]) or "nobody"
        note(
            f"Protocol version {upgrade['version']} is wanted, not before {moment(int(upgrade['not_before_ms']))}. "
            f"{upgrade['needed']} of {len(upgrade['speaking']) + len(upgrade['silent'])} members must speak it; by now "
            f"these say so: {names}."
        )
    if answer["wanted_hash"] != answer["in_force_hash"]:
        wait = int(answer["operators_from_ms"]) > int(answer["time_ms"])
        until = f"; the operators not before {moment(int(answer['operators_from_ms']))}" if wait else ""
        note(f"Other parameters or operators are wanted, and come with the next epochs' ends{until}.")


@group.command()
@shared_options
def show(
    number: NumberArgument,
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """Show an open proposal: what it changes, who approved it, and who is missing."""
    from rustorium.net.governing import differences, proposal_of, row

    with reaching.client() as client:
        answer = client.governance()
    found = proposal_of(answer, number)
    changes = differences(answer["wanted"], found["change"])
    for line in changes:
        note(line)
    emit_one(row(answer, found) | {"changes": changes}, output)


@group.command()
@shared_options
def approve(
    number: NumberArgument,
    acting: Acting,
    output: Output = Format.table,
) -> None:
    """Approve an open proposal. It shows what changes first. The approval that makes the quorum makes the change."""
    from rustorium.net.governing import differences, effect, proposal_of

    with acting.client() as client:
        answer = client.governance()
        found = proposal_of(answer, number)
        for line in differences(answer["wanted"], found["change"]):
            note(line)
        row = acting.finish(client, answer, {"type": "approve", "number": number, "change": found["hash"]})
        if acting.unsigned is None:
            _say_state(client, "number", number, effect(answer, found["change"]))
    emit_one(row, output)


@group.command()
@shared_options
def withdraw(
    number: NumberArgument,
    acting: Acting,
    output: Output = Format.table,
) -> None:
    """Take an approval back. A proposal ends with its proposer's."""
    with acting.client() as client:
        row = acting.finish(client, client.governance(), {"type": "withdraw", "number": number})
    emit_one(row, output)


@group.command()
@shared_options
def rotate(
    to: Annotated[Path, typer.Option("--to", help="File of the new authority, which `keys authority new` made.")],
    acting: Acting,
    output: Output = Format.table,
) -> None:
    """Give a seat other keys, at once. What it approved before counts no more."""
    new = read_authority(to)
    keys = {"threshold": new.threshold, "keys": list(new.keys)}
    with acting.client() as client:
        row = acting.finish(client, client.governance(), {"type": "set_authority", "authority": keys})
    emit_one(row, output)


@group.command()
@shared_options
def recover(
    validator: Annotated[str, typer.Argument(help="The owner's validator: its name, validator key or number.")],
    operator: Annotated[list[str], typer.Option("--operator", help="Public key of an operator, hex; all of them.")],
    quorum: Annotated[int, typer.Option("--quorum", min=1, help="Number of seats that must approve a change.")],
    owner_key: Annotated[Path, typer.Option("--owner-key", help="The owner's key file.")],
    reaching: Patient,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Wish for other operators as a validator's owner, if too many seats are lost to decide anything.

    Each owner runs this with the same operators. Once a quorum of the owners did, these operators govern after
    `owners_recover_ms`, unless seats decide otherwise before."""
    import os

    from rustorium.client.moments import moment
    from rustorium.errors import UsageError
    from rustorium.home.owning import owner_named, send
    from rustorium.home.rekey import Opener, opened_owner
    from rustorium.net.governing import differences, set_operators, wishes

    with reaching.client() as client:
        answer = client.governance()
        if answer["owners_recover_ms"] == 0:
            raise UsageError("owners of this chain can't replace operators: its parameter owners_recover_ms is 0")
        change = set_operators(answer, operator, quorum)
        for line in differences(answer["wanted"], change):
            note(line)
        owner = owner_named(answer, validator)
        key = opened_owner(owner_key, 0, Opener(passphrase_file, os.environ))
        row = submitted_row(send(client, owner, change | {"type": "recover_operators"}, key))
        after = client.governance()
    emit_one(row, output)
    if (found := after.get("replacement")) is not None:
        note(f"The owners decided. These operators govern from the first epoch's end at or after "
             f"{moment(found['from_ms'])} on, unless seats decide otherwise.")  # fmt: skip
        return
    given, needed = wishes(after, owner["number"])
    note(f"{given} of {needed} owners wish this. The others run the same command with their own key within 7 days.")


@propose.command("parameters")
@shared_options
def propose_parameters(
    set_: Annotated[list[str], typer.Option("--set", help="A parameter: NAME=VALUE, such as epoch_ms=3600000.")],
    acting: Acting,
    proposing: Proposing,
) -> None:
    """Propose other chain parameters. They come with an epoch's end."""
    from rustorium.net.governing import set_parameters

    with acting.client() as client:
        answer = client.governance()
        change = set_parameters(answer, parameters_of(set_))
        acting.propose(client, answer, change, proposing)


@propose.command("leaders")
@shared_options
def propose_leaders(
    acting: Acting,
    proposing: Proposing,
    name: Annotated[
        list[str] | None, typer.Argument(help="Validators that lead, by their names. Default: all.", show_default=False)
    ] = None,
) -> None:
    """Propose which validators lead, such as those that `geo plan` names.

    At least 2f + 1 of 3f + 1 lead. The others vote and list transactions as before, and lead in one cycle of 32. It
    comes with an epoch's end."""
    from rustorium.net.governing import set_leaders

    with acting.client() as client:
        answer = client.governance()
        change = set_leaders(answer, client.validators()["validators"], name or ())
        acting.propose(client, answer, change, proposing)


@propose.command("operators")
@shared_options
def propose_operators(
    operator: Annotated[list[str], typer.Option("--operator", help="Public key of an operator, hex; all of them.")],
    quorum: Annotated[int, typer.Option("--quorum", min=1, help="Number of seats that must approve a change.")],
    acting: Acting,
    proposing: Proposing,
) -> None:
    """Propose other operators. A key that stays keeps its seat; they govern from an epoch's end on."""
    from rustorium.net.governing import set_operators

    if len(operator) == quorum:
        note("If one of these operators loses its keys, nobody can change the chain any more.")
    with acting.client() as client:
        answer = client.governance()
        change = set_operators(answer, operator, quorum)
        acting.propose(client, answer, change, proposing)


@propose.command("pause")
@shared_options
def propose_pause(
    acting: Acting,
    proposing: Proposing,
    account: AccountArgument = None,
    for_s: PauseOption = DAY_S,
) -> None:
    """Propose to stop accounts' transactions for a time. It ends by itself."""
    from rustorium.net.governing import in_ms

    scope = {} if account is None else {"account": account}
    with acting.client() as client:
        answer = client.governance()
        change = {"type": "pause", "until_ms": in_ms(answer, for_s), **scope}
        acting.propose(client, answer, change, proposing)


@propose.command("resume")
@shared_options
def propose_resume(
    acting: Acting,
    proposing: Proposing,
    account: AccountArgument = None,
) -> None:
    """Propose to end a pause."""
    scope = {} if account is None else {"account": account}
    with acting.client() as client:
        acting.propose(client, client.governance(), {"type": "resume", **scope}, proposing)


@propose.command("change")
@shared_options
def propose_change(
    file: Annotated[Path, typer.Argument(help="JSON file of a change, such as the one that `node apply` writes.")],
    acting: Acting,
    proposing: Proposing,
) -> None:
    """Propose the change in a file: a validator more or less, other keys of one, an early end of the epoch."""
    from rustorium.errors import UsageError

    try:
        found: Any = json.loads(content_of(file))
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise UsageError(f"{file} is no change: give a JSON object with its type, or a list of one")
    with acting.client() as client:
        acting.propose(client, client.governance(), found, proposing)


@propose.command()
@shared_options
def upgrade(
    version: Annotated[int, typer.Argument(min=1, max=65535, help="The next version; the present one recalls a wish.")],
    acting: Acting,
    proposing: Proposing,
    after_s: AfterOption = DAY_S,
) -> None:
    """Propose that the chain goes on by the next protocol version, once enough validators run a release that speaks it.

    Each validator's blocks say what it speaks. The first epoch's end at which n − f of n said so takes the version;
    until then nothing changes. A node that doesn't speak it stops there, and goes on under a newer release. This is
    about shard 0, like all that seats decide.
    """
    from rustorium.net.governing import in_ms

    with acting.client() as client:
        answer = client.governance()
        change = {"type": "upgrade", "version": version, "not_before_ms": in_ms(answer, after_s)}
        acting.propose(client, answer, change, proposing)


@propose.command()
@shared_options
def set_sponsor(
    account: SponsoredArgument,
    share: ShareOption,
    acting: Acting,
    proposing: Proposing,
    history_share: HistoryShareOption = None,
    for_s: EndOption = None,
) -> None:
    """Propose other shares for an account's own sponsor, or a sponsor for an account that has none of its own."""
    from rustorium.net.governing import set_sponsor as change_of

    with acting.client() as client:
        answer = client.governance()
        change = change_of(answer, account, share, share if history_share is None else history_share, for_s)
        acting.propose(client, answer, change, proposing)


@propose.command()
@shared_options
def assign_sponsor(
    account: SponsoredArgument,
    sponsor: Annotated[int, typer.Argument(min=0, help="The sponsor's number; 0 is the common one.")],
    acting: Acting,
    proposing: Proposing,
) -> None:
    """Propose that an account draws from another sponsor. `rustorium query` shows the number of one's sponsor."""
    change = {"type": "assign_sponsor", "account": account, "sponsor": sponsor}
    with acting.client() as client:
        acting.propose(client, client.governance(), change, proposing)
