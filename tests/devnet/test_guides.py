"""Every block of the guides works, in the guide's order, in one folder and one shell."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rustorium.net.ports import PortLeases

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INSTALLS = "pip install"
"""Text by which a block installs the package; the machine of these tests has it already."""
STAYS = re.compile(r"^rustorium-node (devnet|start|recover auto)\b")
"""Commands that a reader runs in a terminal of their own."""
EXITS = re.compile(r"  # exit code (\d+)$")
BEGIN = """
set -euo pipefail
added() { test ! -f fifth.json || python3 -c 'import json; print(json.load(open("fifth.json"))["pid"])'; }
trap 'kill $(added) 2> /dev/null || true; test -z "$(jobs -p)" || { kill -TERM $(jobs -p); wait; }' EXIT
exits() { local code=0; "${@:2}" || code=$?; test $code = "$1" || { echo "$code, not $1: ${*:2}" >&2; exit 99; }; }
stays() { mkfifo "$1"; "${@:2}" --ready-fd 3 3> "$1" & read -r ready < "$1"; }
"""


def script(page: str, folder: Path) -> str:
    """Returns a guide's blocks as one script; Python blocks become the files that their first lines name."""
    parts, stays = [BEGIN], 0
    for kind, text in BLOCK.findall((DOCS / page).read_text()):
        if kind == "python":
            name = text.split("\n", 1)[0].removeprefix("# ")
            assert name.endswith(".py"), f"the first line of a block of Python names its file: {text}"
            (folder / name).write_text(text)
        elif kind in ("sh", "bash") and INSTALLS not in text:
            lines = []
            for line in text.splitlines():
                if STAYS.match(line):
                    stays += 1
                    line = f"stays ready-{stays} {line}"
                if code := EXITS.search(line):
                    line = f"exits {code[1]} {line}"
                lines.append(line)
            parts += [f"echo '== {page}, block {len(parts)}' >&2", *lines]
        else:
            assert kind in ("text", "toml", "json", "sh"), f"{kind}: nothing here runs it"
    return "\n".join(parts) + "\n"


PORTS = re.compile(r"\b27([0-4])(00|01)\b")
"""Ports in the guide for several owners: five validators, with the port of the links and of the HTTP API each."""


def free_ports(leases: PortLeases) -> int:
    """Finds a first port from which the ports of five validators, 100 apart, are free."""
    for first in random.SystemRandom().sample(range(20_000, 31_000), 200):
        wanted = [first + 100 * number + place for number in range(5) for place in (0, 1, 2, 10)]
        if all(leases.lease(port) for port in wanted):
            return first
    raise AssertionError("no ports are free")


@pytest.mark.nodes
@pytest.mark.parametrize("page", ["tutorial.md", "operator.md", "several-owners.md"])
def test_every_block_of_a_guide_runs(page: str, tmp_path: Path) -> None:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment = {name: value for name, value in environment.items() if not name.startswith("RUSTORIUM_")}
    leases = PortLeases()
    first = free_ports(leases)
    lines = PORTS.sub(lambda port: str(first + 100 * int(port[1]) + int(port[2])), script(page, tmp_path))
    try:
        done = subprocess.run(
            ["bash", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
    finally:
        leases.close()
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
