"""`recover committee`: the owners restart a committee that can't sign any more."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import HomeOption, OwnerPassphraseOption, PassphraseOption, ShardOption, home_of
from rustorium.cli.output import Format, Output, emit, emit_one, note

if TYPE_CHECKING:
    from rustorium.home.paths import Home
    from rustorium.home.rekey import Opener

group = typer.Typer(
    help="Restart a committee that lost its quorum because too many keys are retired. Its owners do this offline.",
    no_args_is_help=True,
)
PlanArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The plan file, which is passed from owner to owner.")
]
OwnerOption = Annotated[
    Path | None,
    typer.Option("--owner-key", help="The owner's key file. Default: HOME.owner.key, or a devnet's owners/NAME.key."),
]


@contextmanager
def _stopped(
    home: Path | None, passphrase_file: Path | None, owner_passphrase_file: Path | None = None
) -> "Iterator[tuple[Home, Opener]]":
    from rustorium.home.lock import stopped
    from rustorium.home.rekey import Opener, found_passphrase

    found = home_of(home)
    with stopped(found):
        yield found, Opener(found_passphrase(found, passphrase_file), os.environ, owner_passphrase_file)


@group.command()
def begin(
    plan: PlanArgument, home: HomeOption = None, shard: ShardOption = 0, passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Write a restart plan that continues from the newest final block of a stopped home. All homes must have that
    block. Each shard that lost its quorum needs a plan of its own."""
    from rustorium.home import owners_end as restarting

    with _stopped(home, passphrase_file) as (found, opener):
        made = restarting.begin(found, opener, shard)
        restarting.write(plan, made, new=True)
    emit_one({"file": str(plan), "epoch": made.epoch, "height": made.height, "base": made.base}, output)
    note("Next: `recover committee replace` with the home of each member whose key is retired.")


@group.command()
def replace(
    plan: PlanArgument, home: HomeOption = None, owner_key: OwnerOption = None,
    passphrase_file: PassphraseOption = None, owner_passphrase_file: OwnerPassphraseOption = None,
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Give the validator of a stopped home a new key in the plan, signed by its owner. This voids the signatures in the
    plan, so replace all keys first."""
    from rustorium.home import owners_end as restarting
    from rustorium.home.rekey import owner_file

    with _stopped(home, passphrase_file, owner_passphrase_file) as (found, opener):
        changed = restarting.read(plan)
        old, new = restarting.replace(found, owner_file(found, owner_key), opener, changed)
        restarting.write(plan, changed)
    emit_one({"home": str(found.path), "old_validator_key": old, "validator_key": new}, output)
    note("Next, once every retired key is replaced: `recover committee sign` with the homes of a quorum of members.")


@group.command()
def show(
    plan: PlanArgument, home: HomeOption = None, passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Recompute the plan from a stopped home's store, and show whose keys it replaces and who has signed."""
    from rustorium.home import owners_end as restarting

    with _stopped(home, passphrase_file) as (found, opener):
        looked = restarting.read(plan)
        facts = restarting.show(found, opener, looked)
    signed = set(looked.signatures)
    after = {member["name"]: member for member in facts["next"]}
    rows = [_row(member, after.get(member["name"], {"validator_key": "leaves"}), signed) for member in facts["members"]]
    emit(rows, output, ["place", "name", "validator_key", "new_validator_key", "signed"])
    note(
        f"{len(signed)} of {facts['quorum']} owners have signed. The chain will continue from height {facts['height']}."
    )


def _row(before: dict[str, Any], after: dict[str, Any], signed: set[str]) -> dict[str, object]:
    new = after["validator_key"] if after["validator_key"] != before["validator_key"] else "-"
    return {
        "place": before["place"],
        "name": before["name"],
        "validator_key": before["validator_key"],
        "new_validator_key": new,
        "signed": str(before["place"]) in signed,
    }


@group.command()
def sign(
    plan: PlanArgument, home: HomeOption = None, owner_key: OwnerOption = None,
    give_up_open: Annotated[
        bool, typer.Option("--give-up-open", help="Sign even though a quorum voted for a block above the plan.")
    ] = False,
    passphrase_file: PassphraseOption = None, owner_passphrase_file: OwnerPassphraseOption = None,
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Recompute the plan, and sign it as the owner of a stopped home's validator. The epoch is over for its node, which
    cannot start again before `apply`."""
    from rustorium.home import owners_end as restarting
    from rustorium.home.rekey import Opener, found_passphrase, owner_file

    signed = restarting.read(plan)
    if not give_up_open:
        # This opens the journal, which no other process may have open.
        looked = home_of(home)
        restarting.refuse_open(looked, Opener(found_passphrase(looked, passphrase_file), os.environ), signed)
    with _stopped(home, passphrase_file, owner_passphrase_file) as (found, opener):
        place = restarting.sign(found, owner_file(found, owner_key), opener, signed)
        restarting.write(plan, signed)
    emit_one({"place": place, "end": signed.end, "signatures": len(signed.signatures)}, output)
    note("Next, once a quorum has signed: `recover committee apply` with every home.")


@group.command()
def apply(
    plan: PlanArgument, home: HomeOption = None, passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Write a plan that a quorum of owners signed into a stopped home's store, and install the home's new key."""
    from rustorium.home import owners_end as restarting

    with _stopped(home, passphrase_file) as (found, opener):
        done = restarting.apply(found, opener, restarting.read(plan))
    emit_one({"home": str(found.path), **done}, output)
    if done["waits_for"]:
        shards = ", ".join(map(str, done["waits_for"]))
        note(f"Next: `recover committee apply` with the plan of shard {shards}, which the home's new key waits for.")
        return
    note(f"Next: `rustorium-node start --home {found.path}`")
