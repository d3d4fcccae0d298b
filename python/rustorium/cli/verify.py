"""`verify` and `checkpoint`: proof files and checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import (
    CheckpointOption,
    MaxAgeOption,
    OutOption,
    TrustPeriodOption,
    content_of,
    max_age_s,
    named_out,
    trust_period_s,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note
from rustorium.cli.sending import Reaching
from rustorium.cli.shared import shared_options
from rustorium.plain import plain


def verify(
    file: Annotated[Path, typer.Argument(help="A proof file, as --proof-out writes it.")],
    genesis: Annotated[Path | None, typer.Option("--genesis", help="The chain's genesis file.")] = None,
    checkpoint: CheckpointOption = None,
    trust_period: TrustPeriodOption = "never",
    max_age: MaxAgeOption = None,
    output: Output = Format.table,
) -> None:
    """Check a proof file, or evidence of a fork, without any node. Says in sentences what it proves, and which
    validators signed, or refuses it (exit code 4)."""
    from rustorium.client.light import LightClient
    from rustorium.client.prooffile import is_fork
    from rustorium.client.wording import sentences
    from rustorium.errors import UsageError

    if (genesis is None) == (checkpoint is None):
        raise UsageError("a proof needs something to trust: give --genesis FILE or --checkpoint FILE")
    period_s, allowed_s = trust_period_s(trust_period), max_age_s(max_age)
    if genesis is not None:
        light = LightClient(genesis.expanduser(), trust_period_s=period_s)
    else:
        assert checkpoint is not None
        light = LightClient(content_of(checkpoint), checkpoint=True, trust_period_s=period_s)
    try:
        with open(file.expanduser(), "rb") as content:
            if is_fork(content):
                emit_one(light.show_fork(content.read()), output)
                return
            shown = light.show_file(content, max_age_s=allowed_s)
    except OSError as error:
        raise UsageError(f"{file} can't be read ({error.strerror}): name a file that can") from None
    claim = shown.claim
    signers = claim.signed_by
    if output is not Format.table:
        emit_one(shown.facts | {"signed_by": signers.to_dict() if signers is not None else None}, output)
        return
    anchor = f"the genesis {genesis}" if genesis is not None else f"the checkpoint {checkpoint}"
    if signers is not None:
        print(f"VERIFIED: signed by {signers} (epoch {claim.epoch} of chain {shown.chain}, by {anchor})")
    else:
        print(f"VERIFIED: it rests on the block that {anchor} names (chain {shown.chain})")
    for sentence in sentences(shown.facts):
        print(plain(sentence))
    print()
    fields: dict[str, object] = {"kind": shown.kind, "chain": shown.chain}
    if shown.state is not None:
        fields |= {"holds_after_height": shown.state.at.height, "state_root": shown.state.at.root}
    fields |= {
        "certified_by_block": claim.height,
        "digest": claim.digest,
        "time_ms": claim.time_ms,
        "epoch": claim.epoch,
    }
    emit_one(fields, output)
    parts = shown.facts.get("items") or [shown.facts.get("receipt") or shown.facts.get("header")]
    assert isinstance(parts, list)
    for part in parts:
        emit([{"field": name, "value": value} for name, value in part.items()], output)


@shared_options
def checkpoint(
    file: Annotated[Path | None, typer.Argument(help="File to write; it must not exist. Or name it by --out.")] = None,
    out: OutOption = None,
    *,
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """Follow the committees from the genesis to the newest one, and write a checkpoint from which others can start."""
    from rustorium.access.files import write_new
    from rustorium.errors import FileExists

    path = named_out(file, out)
    if path.is_file():
        raise FileExists(path)  # before anything is fetched
    with reaching.client() as client:
        trusted = client.catch_up()
        write_new(path, client.light.checkpoint())
    facts = {name: trusted[name] for name in ("chain", "epoch", "height")}
    emit_one({"file": str(path)} | facts, output)
    note(f"Others start from it with --checkpoint {path}.")
