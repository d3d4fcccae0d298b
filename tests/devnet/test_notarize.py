"""The `notarize` example, on the project's own sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes
ROOT = Path(__file__).resolve().parents[2]


def notarize(devnet: Devnet, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    key = devnet.net.accounts[3].key_file
    command = [sys.executable, str(ROOT / "examples" / "notarize.py"), str(folder)]
    command += ["--net", str(devnet.path), "--key", key, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_it_names_the_file_that_was_changed(devnet: Devnet, tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    shutil.copytree(ROOT / "python", folder, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    done = notarize(devnet, folder)
    assert (done.returncode, done.stdout) == (0, "every file is as recorded\n"), done.stderr
    victim = folder / "rustorium" / "errors.py"
    victim.write_text(victim.read_text() + "# changed\n")
    (folder / "new file.txt").write_text("new")
    (folder / "rustorium" / "regions.py").unlink()
    done = notarize(devnet, folder, "--check")
    assert done.returncode == 4
    lines = done.stdout.splitlines()
    assert lines[0] == "new file.txt was never recorded"
    assert lines[1].startswith("rustorium/errors.py was changed: recorded ")
    assert lines[2] == "1 recorded files are gone"
