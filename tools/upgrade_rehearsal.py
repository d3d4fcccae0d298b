"""A rolling upgrade, really done: under load a devnet of the release before goes to this one, one by one, and then to
protocol version 2.

`just upgrade-rehearsal [REF]` builds REF (the release before: the newest tag, or the commit named here) into a virtual
environment of its own, makes a net of four with it, and upgrades one validator after the other while clients write;
before the last one, another goes back to the release before and forward again. Then an operator activates version 2,
while a client reads with proofs. Nothing final may be lost, heights must grow after each step, all roots must agree,
and each release must refuse the other's homes. The switch may hold clients up for a second. The figures are one JSON
object on standard output. `--activation` builds and upgrades nothing: this release makes a chain of version 1.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from rustorium import __version__
from rustorium.access.netfile import Net, read_net
from rustorium.client import Client, Key
from rustorium.client.operations import put
from rustorium.errors import ClientError
from rustorium.net.devnet import Devnet
from rustorium.net.probe import ask, is_ready
from rustorium.types import Submitted

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 120.0
POLL_S = 0.02
GROUP = 20
GROWTH = 5
"""Heights that each step must bring."""
SAMPLES = 200
SWITCH_PAUSE_S = 1.0
"""The longest time that the switch to version 2 may hold clients up."""


def say(text: str) -> None:
    """Prints progress."""
    print(text, file=sys.stderr, flush=True)


def output(*command: object, cwd: Path = ROOT) -> str:
    """Returns a command's output."""
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, cwd=cwd).stdout.strip()


def wait_for(what: str, condition: Callable[[], bool]) -> float:
    """Until it holds; the seconds that took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > DEADLINE_S:
            sys.exit(f"the rehearsal failed: it never happened that {what}")
        time.sleep(POLL_S)
    return time.monotonic() - start


def must(holds: bool, what: str) -> None:
    """Ends the rehearsal unless the condition holds."""
    if not holds:
        sys.exit(f"the rehearsal failed: {what}")


# ---- the release before ----------------------------------------------------------------------------------------------


BEFORE = "813f8d930d5191994fb7354035341d51918a4859"
"""0.1.0, for clones that have no tags: changed with each release."""


def release_before() -> str:
    """The newest tag that can be reached before HEAD; without one, `BEFORE`."""
    try:
        return output("git", "describe", "--tags", "--abbrev=0", "HEAD^")
    except subprocess.CalledProcessError:
        return BEFORE


def built(ref: str, cache: Path) -> Path:
    """Returns the `bin` folder of a virtual environment with that commit installed; builds it if it is missing."""
    commit = output("git", "rev-parse", "--verify", f"{ref}^{{commit}}")
    folder = cache / commit[:12]
    programs, mark = folder / "venv" / "bin", folder / "built"
    if mark.exists():
        return programs
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = folder / "source"
    say(f"building {ref} ({commit[:12]}) into {folder}")
    output("git", "worktree", "prune")
    output("git", "worktree", "add", "--detach", "--force", source, commit)
    try:
        output(sys.executable, "-m", "venv", folder / "venv")
        pip = (programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
        output(*pip, "--require-hashes", "-r", source / "requirements" / "test.txt", cwd=source)
        output(*pip, "--no-deps", "--no-build-isolation", ".", cwd=source)
    finally:
        output("git", "worktree", "remove", "--force", source)
    mark.touch()
    return programs


# ---- clients ---------------------------------------------------------------------------------------------------------


class Load:
    """Clients that write without a pause, each with its account. What they were told is final, and when."""

    def __init__(self, net: Path, accounts: list[str]) -> None:
        self.told: list[tuple[float, str, str, bytes]] = []
        self.faults: list[BaseException] = []
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(net, Path(file))) for file in accounts]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends it, and raises what went wrong in it."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        if self.faults:
            raise self.faults[0]

    def wait_for_more(self, count: int) -> None:
        """Until so many more are final."""
        goal = len(self.told) + count
        wait_for(f"{count} more transactions were final", lambda: len(self.told) >= goal or bool(self.faults))

    def longest_pause_s(self, first: float = 0.0, last: float = float("inf")) -> float:
        """The longest time within these in which no client was told anything."""
        times = sorted(at for at, *_ in self.told if first <= at <= last)
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def _run(self, net: Path, file: Path) -> None:
        try:
            key = Key.open(file)
            with Client.from_net(net, key=key, timeout_s=5.0) as client:
                number = 0
                while not self._stopping.is_set():
                    names = [b"%d" % (number + i) for i in range(GROUP)]
                    number += GROUP
                    self._send(client, key, names)
        except BaseException as error:
            self.faults.append(error)

    def _send(self, client: Client, key: Key, names: list[bytes]) -> None:
        try:
            results = client.send_many([[put(key.address, name, b"v" + name)] for name in names])
        except ClientError:
            return  # the node that was asked is being upgraded
        now = time.monotonic()
        done = [r.id for r in results if isinstance(r, Submitted) and r.receipt is not None and r.receipt.ok]
        with self._lock:
            self.told += [
                (now, r.id, key.address, name)
                for name, r in zip(names, results, strict=True)
                if isinstance(r, Submitted) and r.id in done
            ]


class Reads:
    """A client that reads one value again and again, with proofs, from the genesis of version 1."""

    def __init__(self, net: Path, namespace: str, name: bytes) -> None:
        self.times: list[float] = []
        self.faults: list[BaseException] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(net, namespace, name))
        self._thread.start()

    def stop(self) -> None:
        """Ends it, and raises what went wrong in it."""
        self._stopping.set()
        self._thread.join(DEADLINE_S)
        if self.faults:
            raise self.faults[0]

    def longest_pause_s(self) -> float:
        """The longest time between two reads."""
        return max((b - a for a, b in pairwise(self.times)), default=0.0)

    def _run(self, net: Path, namespace: str, name: bytes) -> None:
        try:
            with Client.from_net(net, timeout_s=DEADLINE_S) as client:
                while not self._stopping.is_set():
                    must(client.get(namespace, name) == b"v" + name, "a verified read gives another value")
                    self.times.append(time.monotonic())
        except BaseException as error:
            self.faults.append(error)


# ---- the net ---------------------------------------------------------------------------------------------------------


@dataclass
class Rolling:
    """A net whose validators run one of two releases each."""

    net: Net
    before: Path
    now: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def home(self, index: int) -> Path:
        return Path(self.net.nodes[index].home)

    def run(self, release: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs a command of a release, whatever its result."""
        command = [str(release / "rustorium-node"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=clean())

    def does(self, release: Path, *arguments: object) -> str:
        """Runs a command that must succeed; returns its output."""
        ended = self.run(release, *arguments)
        must(ended.returncode == 0, f"{arguments} of {release} ended with {ended.returncode}: {ended.stderr}")
        return ended.stdout

    def spawn(self, index: int, release: Path) -> None:
        """Starts a validator."""
        must(index not in self.processes, "a validator that runs is started")
        with (self.home(index) / "log" / "rehearsal.log").open("ab") as said:
            command = [str(release / "rustorium-node"), "start", "--home", str(self.home(index))]
            self.processes[index] = subprocess.Popen(command, stdout=said, stderr=said, env=clean())

    def wait_ready(self, index: int) -> float:
        """Until it says that it is ready; the seconds that took."""
        return wait_for(f"{self.net.nodes[index].name} is ready", lambda: self._ready(index))

    def stop(self, index: int) -> None:
        """SIGTERM, which must end it cleanly."""
        process = self.processes.pop(index)
        process.terminate()
        must(process.wait(DEADLINE_S) == 0, f"{self.net.nodes[index].name} ended with {process.returncode}")

    def end(self) -> None:
        """Ends what still runs."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(DEADLINE_S)
        self.processes.clear()

    def heights(self) -> list[int]:
        """Executed heights; 0 of who doesn't answer."""
        return [one.executed for one in ask([node.http for node in self.net.nodes], 2.0)]

    def grows(self, what: str) -> int:
        """Waits until every validator is that much higher than the highest was; which height that is."""
        goal = max(self.heights()) + GROWTH
        wait_for(f"all are at height {goal} {what}", lambda: min(self.heights()) >= goal)
        return goal

    def _ready(self, index: int) -> bool:
        must(self.processes[index].poll() is None, f"{self.net.nodes[index].name} ended: {self._said(index)}")
        return is_ready(self.net.nodes[index].http)

    def _said(self, index: int) -> str:
        return (self.home(index) / "log" / "rehearsal.log").read_text(errors="replace")[-500:]


def clean() -> dict[str, str]:
    """The environment of what an operator starts."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RUSTORIUM_")}


@contextmanager
def devnet(before: Path, now: Path, root: Path) -> Iterator[Rolling]:
    """A net of version 1 that the release before made, with all validators on that release."""
    read, write = os.pipe()
    if before == now:
        Devnet.create(root, version=1).stop()
    command = [before / "rustorium-node", "devnet", "--state", root, "--nodes", "4", "--ready-fd", str(write)]
    made = subprocess.Popen([str(c) for c in command], pass_fds=(write,), stdout=subprocess.DEVNULL, env=clean())
    os.close(write)
    with os.fdopen(read) as ready:
        must(bool(ready.readline()), "the release before makes no devnet")
    made.terminate()
    made.wait(DEADLINE_S)
    rolling = Rolling(read_net(root), before, now)
    try:
        for index in range(4):
            rolling.spawn(index, before)
        for index in range(4):
            rolling.wait_ready(index)
        yield rolling
    finally:
        rolling.end()


def files(folder: Path) -> dict[str, str]:
    """Returns hashes of a home's files, except those that every start writes."""
    loose = {"log", "run"}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in loose and path.name not in ("LOCK", "lock")
    }


def refuses(rolling: Rolling, release: Path, index: int, *parts: str) -> str:
    """Checks that a release refuses a home by one sentence and changes nothing; returns the sentence."""
    before = files(rolling.home(index))
    ended = rolling.run(release, "start", "--home", rolling.home(index))
    said = ended.stderr.strip().splitlines()[-1:]
    must(ended.returncode not in (0, None) and "Traceback" not in ended.stderr, f"it was not refused: {ended}")
    must(bool(said) and all(part in said[0] for part in parts), f"it was refused otherwise: {said}")
    must(files(rolling.home(index)) == before, "a refused start changed the home")
    return said[0]


# ---- the rehearsal ---------------------------------------------------------------------------------------------------


def change(rolling: Rolling, load: Load, index: int, release: Path, *upgrade: str) -> dict[str, Any]:
    """Moves one validator to another release; returns how long that took."""
    begun = time.monotonic()
    rolling.stop(index)
    stopped = time.monotonic()
    rolling.does(rolling.now, "upgrade", "--home", rolling.home(index), *upgrade)
    moved = time.monotonic()
    rolling.spawn(index, release)
    ready_s = rolling.wait_ready(index)
    down_s = time.monotonic() - begun
    goal = rolling.grows(f"after {rolling.net.nodes[index].name} changed its release")
    load.wait_for_more(100)
    row = {
        "validator": rolling.net.nodes[index].name,
        "to": output(release / "rustorium-node", "--version"),
        "stop_s": round(stopped - begun, 2),
        "upgrade_s": round(moved - stopped, 2),
        "ready_s": round(ready_s, 2),
        "down_s": round(down_s, 2),
        "longest_pause_s": round(load.longest_pause_s(begun, time.monotonic()), 2),
        "height": goal,
    }
    say(json.dumps(row))
    return row


def roll(rolling: Rolling, load: Load) -> dict[str, Any]:
    """Runs the whole upgrade; returns the figures."""
    load.wait_for_more(200)
    steady = load.longest_pause_s()
    rows, said = [], {}
    for index in range(3):
        if index == 0:
            rolling.stop(0)
            said["new release, old home"] = refuses(rolling, rolling.now, 0, "[home-older]", "rustorium-node upgrade")
            rolling.does(rolling.now, "upgrade", "--home", rolling.home(0))
            said["old release, new home"] = refuses(rolling, rolling.before, 0, "there is no section [home]")
            rolling.does(rolling.now, "upgrade", "--home", rolling.home(0), "--back")
            rolling.spawn(0, rolling.before)
            rolling.wait_ready(0)
            rolling.grows("after both refused")
        rows.append(change(rolling, load, index, rolling.now))
    rows.append(change(rolling, load, 1, rolling.before, "--back"))
    rows += [change(rolling, load, index, rolling.now) for index in (1, 3)]
    return {"steady_longest_pause_s": round(steady, 2), "steps": rows, "refusals": said}


def activate(rolling: Rolling, load: Load, path: Path) -> dict[str, Any]:
    """Has the operator activate version 2; returns how long that held clients up."""
    load.wait_for_more(200)
    _, _, namespace, name = load.told[0]
    reads = Reads(path, namespace, name)
    begun = time.monotonic()
    try:
        wait_for("reads begin", lambda: len(reads.times) > 1 or bool(reads.faults))
        key = rolling.net.accounts[0].key_file
        rolling.does(rolling.now, "upgrade", "activate", "--net", path, "--key", key)
        activated = time.monotonic()
        rolling.grows("with version 2")
        load.wait_for_more(200)
    finally:
        reads.stop()
    statuses = ask([node.http for node in rolling.net.nodes], 5.0)
    must({one.protocol for one in statuses} == {2}, f"a validator isn't in version 2: {statuses}")
    pause_s = load.longest_pause_s(begun, time.monotonic())
    row = {
        "command_s": round(activated - begun, 2),
        "longest_pause_s": round(pause_s, 2),
        "verified_reads": len(reads.times),
        "longest_read_pause_s": round(reads.longest_pause_s(), 2),
        "epoch": statuses[0].epoch,
    }
    say(json.dumps(row))
    must(pause_s <= SWITCH_PAUSE_S, f"the switch held clients up for {pause_s:.2f} s, {SWITCH_PAUSE_S} s at most")
    return {"activation": row}


def check(rolling: Rolling, load: Load, path: Path) -> dict[str, Any]:
    """Checks that nothing is lost, all nodes agree, no key was retired, and reads verify."""
    wait_for("all are level", lambda: len(set(rolling.heights())) == 1)
    statuses = ask([node.http for node in rolling.net.nodes], 5.0)
    must(all(one.ready and not one.retired and not one.evidence for one in statuses), f"a node isn't well: {statuses}")
    must({one.release for one in statuses} == {__version__}, "a validator doesn't run the new release")
    height = min(one.executed for one in statuses)
    clients = [Client(node.http) for node in rolling.net.nodes]
    seen = [[(b.digest, b.root) for b in (c.block(h, proof=False) for h in range(height + 1))] for c in clients]
    must(all(one == seen[0] for one in seen), "blocks or result roots differ")
    for number, (_, identity, namespace, name) in enumerate(load.told):
        client = clients[number % len(clients)]
        must(client.get_transaction(identity).state == "final", f"{identity} was final and is lost")
        must(client.get(namespace, name, verify=False) == b"v" + name, f"{name!r} of {namespace} is lost")
    for one in clients:
        one.close()
    with Client.from_net(path) as verifying:
        step = max(1, len(load.told) // SAMPLES)
        sample = load.told[::step]
        must(all(verifying.get(space, name) == b"v" + name for _, _, space, name in sample), "a read doesn't verify")
    for index in range(4):
        rolling.does(rolling.now, "audit", "verify", "--home", rolling.home(index))
    return {"final_transactions": len(load.told), "heights_compared": height + 1, "verified_reads": len(sample)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "ref",
        nargs="?",
        help="the release before: a tag or commit; default: the newest tag before HEAD, or the commit named here",
    )
    parser.add_argument(
        "--activation", action="store_true", help="only activate version 2, on a net that this release makes"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / "target" / "rehearsal", help="where builds are kept")
    options = parser.parse_args()
    now = Path(sys.executable).parent
    ref = "" if options.activation else options.ref or release_before()
    before = built(ref, options.cache) if ref else now
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as root, devnet(before, now, Path(root)) as rolling:
        path = Path(root) / "devnet.json"
        # The first account is the operator's.
        load = Load(path, [one.key_file for one in rolling.net.accounts[1:3]])
        try:
            figures = roll(rolling, load) if ref else {}
            figures |= activate(rolling, load, path)
        finally:
            load.stop()
        figures |= check(rolling, load, path)
    releases = {"before": output(before / "rustorium-node", "--version"), "now": __version__, "ref": ref or "none"}
    print(json.dumps({**releases, "longest_pause_s": round(load.longest_pause_s(), 2), **figures}, indent=1))


if __name__ == "__main__":
    main()
