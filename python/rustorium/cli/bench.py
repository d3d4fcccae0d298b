"""`bench load` runs the Rust load generator."""

from typing import Annotated

import typer

from rustorium.cli.options import NetOption, PassphraseOption, TokenFileOption, duration, net_of, token_of
from rustorium.cli.output import Format, Output, emit_one, note

group = typer.Typer(help="Measure a net's throughput and latency.", no_args_is_help=True)


@group.callback()
def bench() -> None:
    """Measure a net's throughput and latency."""


@group.command()
def load(
    net: NetOption = None,
    rate: Annotated[int, typer.Option("--rate", min=1, help="Transactions to send per second.")] = 100,
    for_s: Annotated[float, duration("--for", "--seconds", text="Duration, such as 30s or 5m.")] = 10.0,
    value_bytes: Annotated[
        int, typer.Option("--value-bytes", min=1, max=65536, help="Size of each value in bytes.")
    ] = 256,
    face: Annotated[str, typer.Option("--face", help="Client API to use: quic or http.")] = "quic",
    connections: Annotated[int | None, typer.Option("--connections", min=1, help="Connections to each node.")] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window", min=1, help="Transactions of a connection that wait for their results at once. Default: all."
        ),
    ] = None,
    salt: Annotated[
        int | None,
        typer.Option("--salt", min=0, help="Number that makes keys and values unique. Default: from the clock."),
    ] = None,
    passphrase_file: PassphraseOption = None,
    token_file: TokenFileOption = None,
    output: Output = Format.table,
) -> None:
    """Send signed Puts at a fixed rate. Latency runs from each intended send time to the receipt of the final
    transaction. With `--window` and a rate above what the net carries, this measures how much it carries. A
    transaction that isn't sent in time counts as rejected (`not-sent`)."""
    from rustorium.errors import UsageError
    from rustorium.net.load import run_load

    found = net_of(net)
    if found is None:
        raise UsageError("no net is named: give --net devnet.json")
    if face not in ("quic", "http"):
        raise UsageError("--face must be quic or http: give one of them")
    note("Signing transactions first; then the clock starts.")
    report = run_load(
        found,
        rate_per_s=rate,
        seconds=max(1, round(for_s)),
        value_bytes=value_bytes,
        face="http" if face == "http" else "quic",
        salt=salt,
        connections=connections,
        window=window,
        passphrase_file=passphrase_file,
        token=token_of(token_file),
    )
    emit_one(report, output)
