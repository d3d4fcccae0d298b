"""`block show`."""

from typing import Annotated

import typer

from rustorium.cli.options import (
    ProofOutOption,
)
from rustorium.cli.output import Format, Output, emit_one, note, write_proof
from rustorium.cli.sending import Reaching
from rustorium.cli.shared import shared_options

group = typer.Typer(help="Show final blocks.", no_args_is_help=True)


@group.callback()
def block() -> None:
    """Show final blocks."""


@group.command()
@shared_options
def show(
    which: Annotated[str, typer.Argument(help="A height, a digest (hex), or latest.")] = "latest",
    verify: Annotated[bool, typer.Option(help="Check the block's certificate against the genesis.")] = True,
    proof_out: ProofOutOption = None,
    *,
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """Show a final block after checking its certificate."""
    import msgspec

    from rustorium.errors import UsageError

    if proof_out is not None and not verify:
        raise UsageError("--proof-out needs a proof: leave out --no-verify")
    with reaching.client() as client:
        found = client.block(int(which) if which.isdigit() else which)
        if verify:
            found = client.validate_block(found)
        if proof_out is not None:
            write_proof(proof_out, client.prove_block(found.height))
    row: dict[str, object] = msgspec.to_builtins(found)
    del row["raw"], row["proof"]
    signers = row.pop("signed_by")
    emit_one(row | {"verified": verify, "signed_by": signers}, output)
    if verify and which == "latest":
        note("That no newer block is final is on the node's word.")
