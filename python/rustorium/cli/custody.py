"""`keys authority set`, `cancel`, `approve`, `recover`, `withdraw`: how the keys of an account change.

Invariants: whoever sends a change is shown it in words and asked first, except with --yes; whether an account can be
recovered, and whether its keys can cancel that, has no default.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import (
    duration,
)
from rustorium.cli.output import Format, Output, emit_one, note
from rustorium.cli.sending import (
    SendingFile,
    read_authority,
)
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from rustorium.api import Operation
    from rustorium.types import Recovery

CHOICE = (
    "If the recovery is final, the account's keys can't cancel it, and the account is frozen until it takes effect: "
    "whoever takes the recovery account takes this account. If it isn't final, the keys can cancel it: whoever steals "
    "them can cancel it for ever. Both at once nobody can have."
)
FileArgument = Annotated[Path, typer.Argument(help="File of the next keys, which `keys authority new` made.")]
AddressArgument = Annotated[str, typer.Argument(help="Address of the account that --key's account recovers.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Send without asking.")]


@shared_options
def set_(
    file: FileArgument,
    sending: SendingFile,
    delay: Annotated[
        float | None, duration("--delay", text="Time that later changes by the keys wait, up to 30d. Default: none.")
    ] = None,
    recovery: Annotated[
        str | None, typer.Option("--recovery", help="Address of the account that may replace the keys.")
    ] = None,
    no_recovery: Annotated[bool, typer.Option("--no-recovery", help="No account may replace the keys.")] = False,
    recovery_delay: Annotated[
        float | None, duration("--recovery-delay", text="Time that a recovery waits: 1h to 90d.")
    ] = None,
    final: Annotated[
        bool | None, typer.Option("--final/--not-final", help="Whether the keys can't cancel a recovery, or can.")
    ] = None,
    void_grants: Annotated[
        bool, typer.Option("--void-grants", help="Make all grants void that the account made before.")
    ] = False,
    yes: YesOption = False,
    output: Output = Format.table,
) -> None:
    """Give an account other keys, a delay of later changes, and a recovery account. The address stays.

    It takes effect at once if the account has neither a delay nor a recovery account now, and otherwise after the
    longer one of both delays."""
    from rustorium.client import operations

    keys = read_authority(file)
    helper = _recovery(recovery, no_recovery, recovery_delay, final)
    delay_ms = int(1000 * (delay or 0))
    operation = operations.set_authority(keys, delay_ms=delay_ms, recovery=helper, void_grants=void_grants)
    _finish(sending, operation, yes, output, [] if helper is None else [CHOICE])


@shared_options
def cancel(
    sending: SendingFile,
    yes: YesOption = False,
    output: Output = Format.table,
) -> None:
    """Cancel the change of an account's keys that waits, or its recovery if that isn't final."""
    from rustorium.client import operations

    _finish(sending, operations.cancel_authority(), yes, output)


@shared_options
def approve(
    address: AddressArgument,
    sending: SendingFile,
    change: Annotated[
        str | None, typer.Option("--change", help="Hash of the change. Default: the one that waits, which is shown.")
    ] = None,
    yes: YesOption = False,
    output: Output = Format.table,
) -> None:
    """As the recovery account: let the change of keys that an account began take effect at once."""
    from rustorium.client import operations

    found, said = _pending(sending, address, change)
    _finish(sending, operations.approve_authority(address, found), yes, output, said)


@shared_options
def recover(
    address: AddressArgument,
    file: FileArgument,
    sending: SendingFile,
    yes: YesOption = False,
    output: Output = Format.table,
) -> None:
    """As the recovery account: give an account other keys after its recovery delay."""
    from rustorium.client import operations

    _finish(sending, operations.recover(address, read_authority(file)), yes, output)


@shared_options
def withdraw(
    address: AddressArgument,
    sending: SendingFile,
    yes: YesOption = False,
    output: Output = Format.table,
) -> None:
    """As the recovery account: withdraw the recovery of an account that it began."""
    from rustorium.client import operations

    _finish(sending, operations.withdraw_recovery(address), yes, output)


def _recovery(address: str | None, none: bool, delay_s: float | None, final: bool | None) -> "Recovery | None":
    """Returns the recovery account of the options. Errors: UsageError, since nothing of it has a default."""
    from rustorium.errors import UsageError
    from rustorium.types import Recovery

    if (address is None) != none:
        raise UsageError(
            "say who recovers the account if its keys are lost or stolen: give --recovery ADDRESS, or --no-recovery"
        )
    if address is None:
        if delay_s is not None or final is not None:
            raise UsageError("--recovery-delay and --final are of a recovery account: name it with --recovery")
        return None
    if delay_s is None:
        raise UsageError("say how long a recovery waits, between 1h and 90d: give --recovery-delay")
    if final is None:
        raise UsageError(f"say whether a recovery is final: give --final or --not-final. {CHOICE}")
    return Recovery(address, int(1000 * delay_s), final)


def _pending(sending: SendingFile, address: str, change: str | None) -> tuple[str, list[str]]:
    """Returns the hash of the change to approve, and what the state proves of it. Errors: UsageError."""
    from rustorium.client.moments import moment
    from rustorium.client.settings import authority_words, rule_words
    from rustorium.errors import UsageError

    with sending.client() as client:
        found = client.authority(address).pending
    if found is None or found.by != "keys":
        raise UsageError(f"the keys of {address} began no change that waits: `keys authority show` shows what is so")
    if change is not None and change != found.change:
        raise UsageError(f"another change of {address} waits, with the hash {found.change}: look at it first")
    rule = rule_words(found.delay_ms, found.recovery)
    said = f"{authority_words(found.authority)} would act for {address}; then {rule}."
    return found.change, [said, f"Without an approval it takes effect at {moment(found.due_ms)}."]


def _finish(
    sending: SendingFile, operation: "Operation", yes: bool, output: Format, said: "list[str] | None" = None
) -> None:
    """Shows the operation, asks, and sends it, or writes it to the file of --unsigned. Errors: UsageError and those of
    `Sending.finish`."""
    from rustorium.client.words import shown
    from rustorium.errors import UsageError

    for line in said or ():
        note(line)
    if sending.unsigned is None:
        note(f"To be signed: {shown(operation, '')}.")
        if not yes and not sys.stdin.isatty():
            raise UsageError("there is no terminal to ask on: read what it does above, and give --yes")
        if not yes and not typer.confirm("Send this?", err=True):
            raise UsageError("nothing is sent, as you answered: run the command again to send it")
    emit_one(sending.finish(lambda _: [operation])[0], output)
