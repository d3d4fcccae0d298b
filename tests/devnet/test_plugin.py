"""The pytest plugin, and its output for a failing seed."""

import subprocess
import sys
from pathlib import Path

import pytest

from rustorium.errors import UsageError
from rustorium.net.devnet import Devnet
from rustorium.testing import Sim


def test_a_seed_is_played(sim: Sim) -> None:
    assert sim(1).ok
    assert sim(1, "safety").ok
    assert sim(1, "epochs").ok


@pytest.mark.nodes
def test_the_devnet_has_a_client_for_each_account(devnet: Devnet) -> None:
    accounts = devnet.net.accounts
    with devnet.client() as first, devnet.client(1) as second:
        first.put("plugin", "1")
        second.put("plugin", "2")
        found = [own.get(one.address, "plugin") for own, one in zip((first, second), accounts[:2], strict=True)]
    assert found == [b"1", b"2"]
    for number in (-1, len(accounts)):
        with pytest.raises(UsageError, match=f"the devnet has {len(accounts)}"):
            devnet.client(number)


def test_a_failing_test_prints_how_to_repeat_its_seeds(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(sim):\n    sim(7)\n    assert False\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 1
    assert "repeat with: rustorium-node sim replay 'seed 7 liveness nodes 4 heights 50'" in ended.stdout
