"""`zk ceremony new|contribute|verify|finalize`: many contributors make a circuit's keys, so that nobody can forge
proofs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import content_of
from rustorium.cli.output import Format, Output, emit, emit_one, note, progress

if TYPE_CHECKING:
    from rustorium.zk.ceremony import Contribution

group = typer.Typer(help="Create a circuit's keys together, so that nobody knows their secret.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="The ceremony's current file.")]
OutArgument = Annotated[Path, typer.Argument(help="File to write; it must not exist.")]


@group.command()
def new(
    out: OutArgument,
    circuit: Annotated[str, typer.Option("--circuit", help="Circuit that the keys are for.")] = "shielded-transfer",
    power: Annotated[
        int | None, typer.Option("--power", min=1, max=18, help="Begin phase 1 for circuits of up to 2^N constraints.")
    ] = None,
    powers: Annotated[
        Path | None, typer.Option("--powers", help="Begin phase 2 from this file of a finished phase 1.")
    ] = None,
    ptau: Annotated[
        Path | None, typer.Option("--ptau", help="Begin phase 1 from the powers in this .ptau file.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Begin phase 1 (powers of tau), or a circuit's phase 2 with --powers."""
    from rustorium.zk import ceremony

    with progress("making the circuit's key" if powers else "making powers") as advance:
        ceremony.begin(out, circuit, power=power, ptau=ptau, powers=powers, progress=advance)
    emit_one({"file": str(out), "phase": 2 if powers else 1, "circuit": circuit}, output)


@group.command()
def contribute(
    file: FileArgument,
    out: OutArgument,
    name: Annotated[str, typer.Option("--name", help="Contributor's name for the list.")],
    beacon: Annotated[
        str | None, typer.Option("--beacon", help="End the phase with this public random value, 64 hex digits.")
    ] = None,
    beacon_log2: Annotated[
        int,
        typer.Option(
            "--beacon-log2", min=0, max=28, help="Number of times that the beacon is hashed, as a power of two."
        ),
    ] = 20,
    output: Output = Format.table,
) -> None:
    """Contribute a secret, which is discarded at once. What you type is mixed into it. Keep the hash that the command
    prints."""
    from rustorium.errors import UsageError
    from rustorium.zk import ceremony

    try:
        value = bytes.fromhex(beacon) if beacon is not None else None
    except ValueError:
        raise UsageError(
            "a beacon is 64 hex digits of a random value that nobody could know before and everybody can check "
            "now: give such a value"
        ) from None
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
        list[str] | None,
        typer.Option("--expect", help="Hash of a contribution that the ceremony must contain; repeat."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Verifying key that the ceremony must have produced.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Verify a whole ceremony from its file alone, and list the contributors. Exit code 4: something is wrong."""
    from rustorium import _native
    from rustorium.zk import ceremony

    with progress("verifying") as advance:
        found = ceremony.verify(file, progress=advance)
    ceremony.expect(found, expect or [], content_of(key) if key is not None else None)
    _say_import(found.contributions)
    if found.verifying_key is not None:
        note(f"Verifying key for {found.circuit}: {_native.value_hash(found.verifying_key).hex()}")
    emit([vars(one) for one in found.contributions], output)


@group.command()
def finalize(
    file: FileArgument,
    folder: Annotated[
        Path, typer.Argument(help="Folder for proving.key and verifying.key, which must not exist there.")
    ],
    output: Output = Format.table,
) -> None:
    """Verify a ceremony, and write the keys that it produced and their hashes."""
    from rustorium.zk import ceremony

    with progress("verifying") as advance:
        hashes, contributions = ceremony.finish(file, folder, progress=advance)
    _say_import(contributions)
    emit_one({"folder": str(folder)} | hashes, output)


def _say_import(contributions: "Sequence[Contribution]") -> None:
    """Warns about an imported phase 1: nothing here can check who made its powers."""
    if not any(one.origin.startswith("import") for one in contributions):
        return
    own = any(one.phase == 1 and one.origin == "random" for one in contributions)
    note(
        "WARNING: the powers of tau were imported: they are powers, and who made them is for their own transcript to "
        "show"
        + ("" if own else "; nobody added a secret to them here, so whoever knows theirs can forge under this key")
    )


def _typed() -> bytes:
    """Reads what the contributor types, hidden, on a terminal; otherwise empty, and only the system's randomness is
    used."""
    if not sys.stdin.isatty():
        return b""
    import getpass

    return getpass.getpass("type anything that nobody can guess (dice, keys at random), then Enter: ").encode()
