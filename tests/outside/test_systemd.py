"""The units that `systemd print` and `backup schedule` make, as systemd itself judges them."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rustorium.observe.backupunits import BackupUnits, unit_files
from rustorium.observe.systemd import Unit, unit_text

pytestmark = pytest.mark.outside

EXPOSURE_MAX = 2.0
"""systemd calls an exposure of up to 2.9 "OK"; a service without any protection has 9.6."""
HOME, COMMAND = Path("/var/lib/rustorium"), Path("/bin/true")


def node(folder: Path) -> list[Path]:
    path = folder / "rustorium-node-0.service"
    path.write_text(unit_text(Unit("node-0", HOME, COMMAND, "daemon")))
    return [path]


def backups(folder: Path, destination: str) -> list[Path]:
    flags = ("--endpoint", "https://s3.example.org") if "://" in destination else ()
    units = BackupUnits("node-0", HOME, COMMAND, "daemon", destination, 6 * 3600, 14, flags)
    for name, text in unit_files(units).items():
        (folder / name).write_text(text)
    return sorted(folder.iterdir())


@pytest.fixture(
    params=[node, lambda folder: backups(folder, "/mnt/backups"), lambda folder: backups(folder, "s3://bucket/node-0")],
    ids=["the node", "backups to a folder", "backups to a bucket"],
)
def units(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Yields a service, and its timer if it has one."""
    make: Callable[[Path], list[Path]] = request.param
    return make(tmp_path)


def analyze(*arguments: object, code: int = 0) -> str:
    command = ["systemd-analyze", "--no-pager", *(str(one) for one in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def exposure(service: Path) -> float:
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", analyze("--offline=true", "security", service))
    assert found is not None
    return float(found[1])


def test_systemd_understands_every_line(units: list[Path]) -> None:
    assert analyze("verify", *units) == ""


def test_a_compromised_node_could_reach_little(units: list[Path]) -> None:
    service = next(unit for unit in units if unit.suffix == ".service")
    assert exposure(service) <= EXPOSURE_MAX


def test_the_score_is_of_this_unit(units: list[Path]) -> None:
    service = next(unit for unit in units if unit.suffix == ".service")
    hardened = exposure(service)
    service.write_text(
        re.sub(r"(?m)^(Protect|Private|Restrict|SystemCall|Capability|NoNew).*\n", "", service.read_text())
    )
    assert exposure(service) > hardened + 4


def test_a_misspelt_line_is_found(units: list[Path]) -> None:
    for unit in units:
        whole = unit.read_text()
        unit.write_text(whole.replace("[Unit]\n", "[Unit]\nDescripton=misspelt\n"))
        assert "Descripton" in analyze("verify", *units), unit
        unit.write_text(whole)
