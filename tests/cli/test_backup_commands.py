"""The `backup` commands without a chain: refusals, output, and the times of scheduled backups."""

import threading
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.errors import HomeError, UsageError
from rustorium.node.admin.schedule import every, parse_interval
from rustorium.observe.backupunits import BackupUnits, unit_files


@pytest.fixture
def home(cli: Cli, tmp_path: Path, passphrase: Path) -> Path:
    path = tmp_path / "home"
    assert cli("init", "--home", path, "--name", "node-7", "--passphrase-file", passphrase).code == 0
    return path


def test_missing_or_wrong_input_is_one_sentence(cli: Cli, home: Path, tmp_path: Path, passphrase: Path) -> None:
    place, options = tmp_path / "backups", ("--passphrase-file", passphrase)
    cli("backup", "list", "--from", place, "--home", home, *options).fails(3, "backup.key", "--key", "[key-missing]")
    cli("backup", "create", "--to", place, "--home", tmp_path / "none", *options).fails(3, "there is no")
    deep = cli("backup", "create", "--to", tmp_path / "disk" / "backups", "--home", home, *options)
    deep.fails(2, f"there is no folder {tmp_path / 'disk'}", "mount the disk", "[usage]")
    inside = cli("backup", "create", "--to", home / "backups", "--home", home, *options)
    inside.fails(2, "is in the home that it would keep", "[usage]")
    assert not (tmp_path / "disk").exists()
    named = ("--key", tmp_path / "bakcup.key", *options)
    cli("backup", "create", "--to", place, "--home", home, *named).fails(3, "bakcup.key", "[key-missing]")
    cli("backup", "schedule", "--to", place, "--home", home, *named).fails(3, "bakcup.key", "[key-missing]")
    assert not place.exists()
    assert not (tmp_path / "bakcup.key").exists()
    assert not (home / "backup.key").exists()
    made = cli("backup", "create", "--to", place, "--home", home, *options)
    assert (made.code, made.out) == (3, ""), "it has no genesis yet"
    assert "Made the backup key" in made.err
    assert (home / "backup.key").stat().st_mode & 0o777 == 0o600
    cli("backup", "list", "--from", place, "--home", home, *options).fails(3, "holds no backup", "[not-found]")
    cli("backup", "verify", "--from", tmp_path / "nowhere", "--home", home, *options).fails(3, "holds no backup")
    cli("backup", "list", "--from", "gs://x/y", "--home", home, *options).fails(2, "s3://BUCKET/PREFIX", "[usage]")
    http = ("--endpoint", "http://127.0.0.1:1")
    cli("backup", "list", "--from", "s3://x/y", "--home", home, *http, *options).fails(2, "--allow-http")
    key = ("--key", home / "backup.key")
    cli("backup", "restore", "--from", place, *key, "--home", home, *options).fails(3, "holds no backup")
    cli("backup", "restore", "--from", place, *key, "--home", home, "--backup", "x", *options).fails(2, "32 hex digits")
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase\n")
    wrong.chmod(0o600)
    cli("backup", "list", "--from", place, "--home", home, "--passphrase-file", wrong).fails(1, "wrong")


def test_a_schedule_is_printed_and_installed(cli: Cli, home: Path, tmp_path: Path) -> None:
    program = tmp_path / "rustorium-node"
    program.write_text("")
    line = ("backup", "schedule", "--home", home, "--to", tmp_path / "backups", "--command", program, "--every", "90m")
    shown = cli(*line, "--keep", 3)
    assert shown.code == 0, shown.err
    for part in (
        f"ExecStart={program} backup create --home {home} --to {tmp_path / 'backups'} --keep 3\n",
        "OnUnitActiveSec=5400s",
        "Persistent=true",
        f"ReadWritePaths={home} {tmp_path / 'backups'}\n",
        "LoadCredentialEncrypted=rustorium-passphrase:",
    ):
        assert part in shown.out
    units = tmp_path / "units"
    cli(*line, "--install", units).fails(2, "no folder")
    units.mkdir()
    assert cli(*line, "--install", units).code == 0
    assert {path.name for path in units.iterdir()} == {
        "rustorium-node-7-backup.service",
        "rustorium-node-7-backup.timer",
    }
    assert cli(*line, "--install", units).code == 0, "the same again changes nothing"
    cli(*line, "--keep", 5, "--install", units).fails(2, "differs from what is to be written")
    cli(*line, "--run", "--install", units).fails(2, "--run", "--install")
    cli("backup", "schedule", "--home", home, "--to", "x", "--every", "soon").fails(2, "`soon` is not an interval")


def test_text_with_a_meaning_for_systemd_is_refused() -> None:
    def units(destination: str, *flags: str) -> BackupUnits:
        return BackupUnits("n", Path("/h"), Path("/c"), "u", destination, 60, 1, flags)

    text = unit_files(units("s3://bucket/prefix", "--endpoint", "https://s3.example:9000"))[
        "rustorium-n-backup.service"
    ]
    assert "--to s3://bucket/prefix --keep 1 --endpoint https://s3.example:9000\n" in text
    assert "ReadWritePaths=/h\n" in text
    for bad in ("/backups of mine", "/x;y", "/%h", "/a\nb", "/$HOME"):
        with pytest.raises(UsageError, match="mean something"):
            unit_files(units(bad))


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21600), ("2d", 172800)])
def test_intervals(text: str, seconds: int) -> None:
    assert parse_interval(text) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "0h", "-1h", "1.5h", "6 h", "1w", "9999d", "1h1m"])
def test_invalid_intervals(text: str) -> None:
    with pytest.raises(UsageError, match="not an interval"):
        parse_interval(text)


def test_backups_are_made_at_the_interval_and_one_that_fails_is_tried_again() -> None:
    calls: list[str] = []
    told: list[str] = []
    waits: list[float] = []

    def once() -> None:
        calls.append("made")
        if len(calls) == 2:
            raise HomeError("the disk is away: bring it back")

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 4

    every(3600, once, told.append, wait)
    assert len(calls) == 4
    assert told == ["failed, and is tried again in 3600 s: the disk is away: bring it back"]
    assert all(3500 < seconds <= 3600 for seconds in waits)


def test_a_fault_of_the_program_ends_the_schedule() -> None:
    def once() -> None:
        raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        every(60, once, print, threading.Event().wait)
