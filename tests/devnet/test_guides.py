"""Every block of the guides does what it says, in the guide's order, in one folder and one shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INSTALLS = "pip install"
"""What an installation needs is for whoever runs these tests to have done."""
STAYS = re.compile(r"^rustorium-node (devnet|start|recover auto)\b")
"""Commands that a reader leaves open in a terminal of its own."""
EXITS = re.compile(r"  # exit code (\d+)$")
BEGIN = """
set -euo pipefail
added() { test ! -f fifth.json || python3 -c 'import json; print(json.load(open("fifth.json"))["pid"])'; }
trap 'kill $(added) 2> /dev/null || true; test -z "$(jobs -p)" || { kill -TERM $(jobs -p); wait; }' EXIT
exits() { local code=0; "${@:2}" || code=$?; test $code = "$1" || { echo "$code, not $1: ${*:2}" >&2; exit 99; }; }
stays() { mkfifo "$1"; "${@:2}" --ready-fd 3 3> "$1" & read -r ready < "$1"; }
"""


def script(page: str, folder: Path) -> str:
    """A guide's blocks as one script; Python blocks become the files that their first lines name."""
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


@pytest.mark.nodes
@pytest.mark.parametrize("page", ["tutorial.md", "operator.md"])
def test_every_block_of_a_guide_runs(page: str, tmp_path: Path) -> None:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment = {name: value for name, value in environment.items() if not name.startswith("RUSTORIUM_")}
    done = subprocess.run(
        ["bash", "-c", script(page, tmp_path)], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
