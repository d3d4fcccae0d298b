"""`zk ceremony new|contribute|verify|finalize`: a circuit's keys made by many, so that nobody can forge proofs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import content_of
from rustorium.cli.output import Format, Output, emit, emit_one, note, progress

if TYPE_CHECKING:
    from rustorium.zk.ceremony import Contribution

group = typer.Typer(help="Make a circuit's keys together, so that nobody knows their secret.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="The ceremony's file as it is now.")]
OutArgument = Annotated[Path, typer.Argument(help="The file to write; never over another.")]


@group.command()
def new(
    out: OutArgument,
    circuit: Annotated[str, typer.Option("--circuit", help="What the keys are for.")] = "shielded-transfer",
    power: Annotated[
        int | None, typer.Option("--power", min=1, max=18, help="Make phase 1 for 2^N constraints, for any circuit.")
    ] = None,
    powers: Annotated[Path | None, typer.Option("--powers", help="A finished phase 1: begin phase 2.")] = None,
    ptau: Annotated[Path | None, typer.Option("--ptau", help="Begin phase 1 with the powers of a .ptau.")] = None,
    output: Output = Format.table,
) -> None:
    """Begin phase 1 (powers of tau), or with --powers a circuit's phase 2."""
    from rustorium.zk import ceremony

    with progress("making the circuit's key" if powers else "making powers") as advance:
        ceremony.begin(out, circuit, power=power, ptau=ptau, powers=powers, progress=advance)
    emit_one({"file": str(out), "phase": 2 if powers else 1, "circuit": circuit}, output)


@group.command()
def contribute(
    file: FileArgument,
    out: OutArgument,
    name: Annotated[str, typer.Option("--name", help="Who contributes, for the list.")],
    beacon: Annotated[
        str | None, typer.Option("--beacon", help="End the phase with this public random value, 64 hex digits.")
    ] = None,
    beacon_log2: Annotated[
        int, typer.Option("--beacon-log2", min=0, max=28, help="How often the beacon is hashed, as a power of two.")
    ] = 20,
    output: Output = Format.table,
) -> None:
    """Contribute a secret that is forgotten at once; what you type is mixed into it. Keep the hash that it prints."""
    from rustorium.errors import UsageError
    from rustorium.zk import ceremony

    try:
        value = bytes.fromhex(beacon) if beacon is not None else None
    except ValueError:
        raise UsageError("a beacon is 64 hex digits, which everybody will know and nobody knew before") from None
    typed = b"" if value is not None else _typed()
    with progress("contributing") as advance:
        told = ceremony.contribute(
            file, out, name, typed=typed, beacon=value, beacon_log2=beacon_log2, progress=advance
        )
    emit_one({"file": str(out), "name": name, "hash": told}, output)


@group.command()
def verify(
    file: FileArgument,
    expect: Annotated[
        list[str] | None, typer.Option("--expect", help="A contribution's hash that must be in it; repeat.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="A verifying key that must be what came out.")] = None,
    output: Output = Format.table,
) -> None:
    """Verify all of a ceremony from its file alone, and list who contributed: exit code 4 where anything is wrong."""
    from rustorium import _native
    from rustorium.zk import ceremony

    with progress("verifying") as advance:
        found = ceremony.verify(file, progress=advance)
    ceremony.expect(found, expect or [], content_of(key) if key is not None else None)
    _say_import(found.contributions)
    if found.verifying_key is not None:
        note(f"verifying key for {found.circuit}: {_native.value_hash(found.verifying_key).hex()}")
    emit([vars(one) for one in found.contributions], output)


@group.command()
def finalize(
    file: FileArgument,
    folder: Annotated[Path, typer.Argument(help="Gets proving.key and verifying.key; never over others.")],
    output: Output = Format.table,
) -> None:
    """Verify a ceremony and write the keys that came out of it, with their hashes."""
    from rustorium.zk import ceremony

    with progress("verifying") as advance:
        hashes, contributions = ceremony.finish(file, folder, progress=advance)
    _say_import(contributions)
    emit_one({"folder": str(folder)} | hashes, output)


def _say_import(contributions: "Sequence[Contribution]") -> None:
    """A phase 1 without a contribution of its own rests on the import alone, which nothing here can check."""
    if not any(one.origin.startswith("import") for one in contributions):
        return
    own = any(one.phase == 1 and one.origin == "random" for one in contributions)
    note(
        "WARNING: the powers of tau were imported: they are powers, and who made them is for their own transcript to "
        "show"
        + ("" if own else "; nobody added a secret to them here, so whoever knows theirs can forge under this key")
    )


def _typed() -> bytes:
    """What the contributor types, unseen, on a terminal; off one nothing, and the system's randomness stands alone."""
    if not sys.stdin.isatty():
        return b""
    import getpass

    return getpass.getpass("type anything that nobody can guess (dice, keys at random), then Enter: ").encode()
