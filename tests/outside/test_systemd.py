"""The unit that `systemd print` makes, as systemd itself judges it."""

import re
import subprocess
from pathlib import Path

import pytest

from rustorium.observe.systemd import Unit, unit_text

pytestmark = pytest.mark.outside

EXPOSURE_MAX = 2.0
"""systemd calls up to 2.9 "OK"; a service without any of it has 9.6."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    path = tmp_path / "rustorium-node-0.service"
    path.write_text(unit_text(Unit("node-0", Path("/var/lib/rustorium"), Path("/bin/true"), "daemon")))
    return path


def analyze(*arguments: object) -> str:
    command = ["systemd-analyze", "--no-pager", *(str(one) for one in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def exposure(unit: Path) -> float:
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", analyze("--offline=true", "security", unit))
    assert found is not None
    return float(found[1])


def test_systemd_understands_every_line(unit: Path) -> None:
    assert analyze("verify", unit) == ""


def test_little_is_left_that_a_broken_node_could_reach(unit: Path) -> None:
    assert exposure(unit) <= EXPOSURE_MAX


def test_the_score_is_of_this_unit(unit: Path) -> None:
    hardened = exposure(unit)
    unit.write_text(re.sub(r"(?m)^(Protect|Private|Restrict|SystemCall|Capability|NoNew).*\n", "", unit.read_text()))
    assert exposure(unit) > hardened + 4
