"""`devnet` runs a whole net on this machine until Ctrl-C."""

import os
import signal
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import TIMEOUT, CommitteesOption, ShardsOption, duration
from rustorium.cli.output import Format, Output, emit, emit_one, is_interactive, note, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustorium.net.devnet import Devnet
    from rustorium.net.finality import Floor

LINE_S = 0.5


def devnet(
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Number of validators.")] = 4,
    regions: Annotated[
        str,
        typer.Option("--regions", help="Region names, comma-separated. Links between known cloud regions are delayed."),
    ] = "local",
    shards: ShardsOption = 1,
    apart: CommitteesOption = False,
    accounts: Annotated[int, typer.Option("--accounts", min=0, help="Number of funded accounts.")] = 4,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Keep everything in this folder; run again with the same folder to resume."),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Use a temporary folder, removed at the end (default).")
    ] = False,
    ready_fd: Annotated[
        int | None,
        typer.Option(
            "--ready-fd", help="File descriptor that receives the path of devnet.json when all validators are ready."
        ),
    ] = None,
    faucet: Annotated[
        bool, typer.Option("--faucet", help="Serve an endpoint that creates and funds accounts.")
    ] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Gateways use TLS, with certificates from an authority made for this devnet.")
    ] = False,
    rtt_matrix: Annotated[
        Path | None, typer.Option("--rtt-matrix", help="JSON file with round-trip times between regions.")
    ] = None,
    durability: Annotated[
        str, typer.Option("--durability", help="vote (sync to disk before voting), or os (no sync).")
    ] = "vote",
    timeout_s: Annotated[
        float, duration(*TIMEOUT, text="Time that validators may take to start, such as 60s or 2m.")
    ] = 60.0,
    output: Output = Format.table,
) -> None:
    """Run validators on this machine, each in its own process, until Ctrl-C."""
    from rustorium.errors import UsageError
    from rustorium.net.devnet import Devnet

    if state is not None and ephemeral:
        raise UsageError("--state keeps a devnet, and --ephemeral deletes it: give only one of them")
    if durability not in ("vote", "os"):
        raise UsageError("--durability must be vote or os: give one of them")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with tempfile.TemporaryDirectory(prefix="rustorium-devnet-") as folder:
        root = state.expanduser() if state is not None else Path(folder)
        if Devnet.exists(root):
            note(f"Resuming the devnet in {root}. Its --nodes, --regions and --accounts stay as they were.")
            net = Devnet.resume(root)
        else:
            with progress("making keys") as advance:
                names = [name.strip() for name in regions.split(",")]
                net = Devnet.create(
                    root,
                    nodes=nodes,
                    regions=names,
                    shards=shards,
                    apart=apart,
                    accounts=accounts,
                    matrix=rtt_matrix,
                    durability=durability,
                    tls=tls,
                    progress=advance,
                )
        code = _run(net, stopping, ready_fd, faucet, timeout_s, output)
    raise typer.Exit(code)


def _run(
    net: "Devnet", stopping: threading.Event, ready_fd: int | None, faucet: bool, timeout_s: float, output: Format
) -> int:
    from rustorium.net.devnet import Interrupted
    from rustorium.net.faucet import Faucet
    from rustorium.net.finality import floors

    try:
        try:
            net.start(timeout_s=timeout_s, interrupted=stopping)
        except Interrupted:
            return 130
        fountain = Faucet(net.net) if faucet else None
        try:
            known = floors(net.net.nodes)
            _show(net, fountain.url if fountain is not None else None, [asdict(floor) for floor in known], output)
            note("Shielded value is for tests here: a devnet's proving keys come from a public seed.")
            if ready_fd is not None:
                os.write(ready_fd, f"{net.path}\n".encode())
                os.close(ready_fd)
            _watch(net, known, stopping)
        finally:
            if fountain is not None:
                fountain.close()
    finally:
        ended = net.stop()
        bad = ", ".join(f"{name} with {code}" for name, code in ended.items() if code not in (0, None))
        note(f"All validators ended{f'; {bad}' if bad else ''}")
    return 0


def _show(net: "Devnet", faucet: str | None, finality: list[dict[str, Any]], output: Format) -> None:
    """Prints the net. `finality`: what clients beside each validator wait at least, if its links are delayed."""
    import msgspec

    if output is not Format.table:
        said = {"file": str(net.path), "faucet": faucet, "finality": finality}
        emit_one(msgspec.to_builtins(net.net) | said, output)
        return
    emit_one({"chain": net.net.chain, "genesis": net.net.genesis, "file": str(net.path), "faucet": faucet}, output)
    print()
    emit(msgspec.to_builtins(net.net.nodes), output, ["name", "region", "http", "client", "p2p", "metrics", "pid"])
    if finality:
        print("\nA transaction is final at the earliest, for clients beside")
        emit(finality, output, ["name", "region", "alone_ms", "loaded_ms"])
    if net.net.accounts:
        print()
        emit(msgspec.to_builtins(net.net.accounts[:16]), output)
    if len(net.net.accounts) > 16:
        print(f"and {len(net.net.accounts) - 16} more accounts in {net.path}")
    print(f"\nExplorer: {net.net.nodes[0].http}/ui/")
    if net.net.accounts:
        print(f"Try: rustorium tx put --net {net.path} --key {net.net.accounts[0].key_file} hello world")


def _watch(net: "Devnet", known: "Sequence[Floor]", stopping: threading.Event) -> None:
    """Until told to stop, shows a live line on a terminal, and a note for each validator that ended."""
    from rustorium.net.probe import LiveLine

    gone: set[int] = set()

    def look() -> None:
        for node in net.net.nodes:
            code = net.exit_code(node.index)
            if code is not None and node.index not in gone:
                gone.add(node.index)
                note(f"{node.name} ended with {code}. `rustorium-node start --home {node.home}` brings it back.")

    if not is_interactive():
        while not stopping.wait(LINE_S):
            look()
        return
    from rich.console import Console
    from rich.live import Live

    line = LiveLine(net.net.nodes, known, net.net.tls)
    with Live(console=Console(stderr=True, highlight=False), refresh_per_second=4, transient=True) as live:
        while not stopping.wait(LINE_S):
            look()
            live.update(line.text())
