"""The package index has the versions that requirements/runtime.txt pins, and the package needs nothing else."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOOK = """
import importlib.metadata as metadata, json
print(json.dumps({one.metadata["Name"].lower(): one.version for one in metadata.distributions()}))
"""


@pytest.mark.outside
def test_the_locked_packages_can_be_installed_by_hash_and_suffice(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    lock = ROOT / "requirements" / "runtime.txt"
    subprocess.run([python, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock], check=True)
    # This build of the package, without the packages of this environment.
    native = next((ROOT / "python" / "rustorium").glob("_native*.so"))
    assert native.exists()
    ran = [python, "-c", "import rustorium, rustorium.cli; from rustorium import Client; print(rustorium.__version__)"]
    done = subprocess.run(ran, env={"PYTHONPATH": str(ROOT / "python")}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    installed = json.loads(subprocess.run([python, "-c", LOOK], check=True, capture_output=True, text=True).stdout)
    text = lock.read_text().splitlines()
    pinned = dict(line.split(" ")[0].lower().split("==") for line in text if "==" in line)
    here = {name: version for name, version in installed.items() if name in pinned}
    assert here.items() <= pinned.items(), (sys.version, here)
    assert len(here) > 10
