"""Measures the time from a wheel to the first final transaction: a clean environment, the installation, a devnet, one
write.

`just wheels` and tests/outside/test_installed_wheel.py run it with the node's wheel. The time starts with the
installation and ends when the transaction is final. `--at-most 30` fails if that takes longer. `--client WHEEL`
installs the client's wheel into its own environment, in which it writes and verifies on the same devnet.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLIENT = """
import sys
from pathlib import Path
from rustorium import Client, Key, _native
from rustorium.client import operations
from rustorium.net import read_net

assert not _native.has_node
net = read_net(Path(sys.argv[1]))
key = Key.open(net.accounts[0].key_file)
with Client.from_net(sys.argv[1], key=key) as client:
    written = client.write_with_proof([operations.put(key.address, b"invoice/17", b"paid")])
    assert client.verify_proof(written.proof).receipt.height == written.receipt.height
    print(client.get(key.address, b"invoice/17").decode())
try:
    _native.Node
except _native.NativeError as missing:
    print(missing.code)
"""


def clean() -> dict[str, str]:
    """Returns this environment without the variables that lead Python or a build to this checkout."""
    kept = ("HOME", "LANG", "TMPDIR")
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if ROOT not in Path(p).parents)
    found = {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")}
    return found | {"PATH": path}


def run(*line: object, cwd: Path) -> str:
    """Runs a command; returns its output. Its stderr is shown. Errors: `CalledProcessError`."""
    text = [str(part) for part in line]
    return subprocess.run(text, check=True, cwd=cwd, env=clean(), stdout=subprocess.PIPE, text=True).stdout


def install(wheel: Path, folder: Path, name: str) -> Path:
    """Makes an environment with only the wheel and its requirements; returns the folder of its programs. Errors:
    `RuntimeError` if the manual page is missing."""
    programs = folder / name / "bin"
    run(programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=folder)
    page = programs.parent / "share" / "man" / "man1" / "rustorium.1"
    if not page.is_file():
        raise RuntimeError(f"the installation of {wheel.name} has no manual page at {page}")
    return programs


def processor_s() -> float:
    """Returns the processor seconds of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_transaction(wheel: Path, folder: Path, then: Callable[[Path], None] = lambda net: None) -> dict[str, float]:
    """Returns the seconds from the start to each step, and the processor seconds in all. `then` gets the running net's
    file.

    Errors: `CalledProcessError` if a command fails, `RuntimeError` if the devnet doesn't start.
    """
    run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    seconds, began, used = {}, time.monotonic(), processor_s()
    programs = install(wheel, folder, "env")
    seconds["installed"] = time.monotonic() - began
    reading, writing = os.pipe()
    line = [programs / "rustorium-node", "devnet", "--state", folder / "net", "--ready-fd", str(writing)]
    with (folder / "devnet.log").open("w") as log:
        devnet = subprocess.Popen(line, cwd=folder, env=clean(), pass_fds=[writing], stdout=log, stderr=log)
    os.close(writing)
    try:
        with os.fdopen(reading) as ready:
            path = ready.readline().strip()
        if not path:
            raise RuntimeError(f"the devnet did not start: {(folder / 'devnet.log').read_text()[-2000:]}")
        seconds["devnet ready"] = time.monotonic() - began
        key = json.loads(Path(path).read_text())["accounts"][0]["key_file"]
        put = [programs / "rustorium", "tx", "put", "--net", path, "--key", key, "hello", "world", "-o", "json"]
        receipt = json.loads(run(*put, cwd=folder))
        seconds["final"] = time.monotonic() - began
        if receipt["outcome"] != "ok":
            raise RuntimeError(f"the write failed: {receipt}")
        then(Path(path))
    finally:
        devnet.send_signal(signal.SIGINT)
        devnet.wait(timeout=300)
    return seconds | {"processor": processor_s() - used}


def client_works(wheel: Path, folder: Path, net: Path) -> None:
    """Checks that the client's wheel writes and verifies, and that it says in one sentence that it has no node. Errors:
    `RuntimeError`."""
    run(sys.executable, "-m", "venv", folder / "client", cwd=folder)
    programs = install(wheel, folder, "client")
    said = run(programs / "python", "-c", CLIENT, net, cwd=folder)
    if said != "paid\nnode-missing\n":
        raise RuntimeError(f"the client said {said!r}")
    run(programs / "rustorium", "status", "check", "--net", net, "-o", "json", cwd=folder)
    line = [programs / "rustorium-node", "devnet"]
    done = subprocess.run(line, cwd=folder, env=clean(), capture_output=True, text=True, check=False)
    if done.returncode != 1 or "[node-missing]" not in done.stderr:
        raise RuntimeError(f"`rustorium-node devnet` of the client ended with {done.returncode}: {done.stderr}")


def main() -> None:
    """Prints the times; fails if the last one is above the limit."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("wheel", type=Path)
    reader.add_argument("--at-most", type=float, default=float("inf"), help="seconds until the transaction is final")
    reader.add_argument("--client", type=Path, help="the client's wheel")
    said = reader.parse_args()
    with tempfile.TemporaryDirectory() as folder:

        def then(net: Path) -> None:
            if said.client is not None:
                client_works(said.client.absolute(), Path(folder), net)

        seconds = first_transaction(said.wheel.absolute(), Path(folder), then)
    steps = ", ".join(f"{step} after {seconds[step]:.1f} s" for step in ("installed", "devnet ready", "final"))
    print(f"{steps}; {'the client wrote and verified' if said.client else 'no client tried'}")
    if seconds["final"] > said.at_most:
        sys.exit(f"the first final transaction took {seconds['final']:.1f} s, more than {said.at_most} s")


if __name__ == "__main__":
    main()
