"""Narrows the bill of materials in a wheel to what was built: maturin lists the crates of every system.

Invariants: a wheel is replaced as a whole; a file in it that isn't changed keeps its bytes, and `RECORD` has the hash
of the one that is.
"""

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CRATE = "rustorium-native"
SUFFIX = ".cyclonedx.json"


def host() -> str:
    """Returns the target for which this machine's compiler builds."""
    said = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return next(line.removeprefix("host: ") for line in said.splitlines() if line.startswith("host: "))


def crates(target: str, features: Sequence[str] = ()) -> set[tuple[str, str]]:
    """Returns name and version of each crate that the extension links or is built with on a target. `features`: cargo's
    arguments about features."""
    line = ["cargo", "tree", "--locked", f"--package={CRATE}", "--edges=normal,build", "--prefix=none"]
    line += [f"--target={target}", *features]
    done = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True)
    named = (text.split() for text in done.stdout.splitlines() if text)
    return {(words[0], words[1].removeprefix("v")) for words in named}


def narrowed(bill: dict[str, Any], built: set[tuple[str, str]]) -> dict[str, Any]:
    """Returns the bill with those components alone."""
    components = [one for one in bill["components"] if (one["name"], one["version"]) in built]
    kept = {one["bom-ref"] for one in (*components, bill["metadata"]["component"])}
    dependencies = [
        {**one, "dependsOn": [ref for ref in one["dependsOn"] if ref in kept]} if "dependsOn" in one else one
        for one in bill.get("dependencies", [])
        if one["ref"] in kept
    ]
    return {**bill, "components": components, "dependencies": dependencies}


def narrow(wheel: Path, target: str, features: Sequence[str] = ()) -> None:
    """Rewrites the wheel with a bill of what was built."""
    partial = wheel.with_name(f"{wheel.name}.{os.getpid()}.partial")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new:
        (place,) = (name for name in old.namelist() if name.endswith(SUFFIX))
        content = json.dumps(narrowed(json.loads(old.read(place)), crates(target, features)), indent=2).encode()
        for entry in old.infolist():
            held = content if entry.filename == place else old.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                held = _recorded(held, place, content)
            new.writestr(entry, held)
    partial.replace(wheel)


def _recorded(record: bytes, place: str, content: bytes) -> bytes:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    lines = record.decode().splitlines()
    where = next(number for number, line in enumerate(lines) if line.startswith(f"{place},"))
    lines[where] = f"{place},sha256={digest},{len(content)}"
    return ("\n".join(lines) + "\n").encode()
