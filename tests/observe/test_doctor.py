"""`doctor` and `systemd print` on healthy and on faulty homes."""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.errors import UsageError
from rustorium.home import growth
from rustorium.net.devnet import Devnet
from rustorium.observe import doctor
from rustorium.observe.systemd import Unit, hidden, unit_text


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose node doesn't run."""
    with Devnet.create(tmp_path / "net", nodes=1, accounts=0) as net:
        yield Path(net.net.nodes[0].home)


def checks(cli: Cli, home: Path, code: int) -> dict[str, dict[str, Any]]:
    ended = cli("doctor", "--home", home, "-o", "json")
    assert ended.code == code, ended.out
    return {one["check"]: one for one in json.loads(ended.out)}


def test_a_healthy_home_passes_all_checks(cli: Cli, home: Path) -> None:
    found = checks(cli, home, 0)
    assert all(one["result"] != "fail" for one in found.values())
    for name in (
        "platform",
        "extension",
        "configuration",
        "genesis",
        "node.key",
        "validator.key",
        "storage.key",
        "passphrase",
    ):
        assert found[name]["result"] == "ok", found[name]
    assert found["node"]["result"] == "warn"
    assert "median" in found["disk sync"]["seen"]
    assert {path.name for path in home.iterdir()} >= {"node.key"}
    assert not list(home.glob("tmp*")), "what it wrote to measure the disk is gone"
    assert all(one["do"] for one in found.values() if one["result"] != "ok" and one["check"] != "node")


def test_a_chain_that_one_key_governs_or_anyone_forges_in_is_named(cli: Cli, home: Path, tmp_path: Path) -> None:
    assert checks(cli, home, 0)["pools"]["result"] == "warn"
    assert "devnet's key" in checks(cli, home, 0)["pools"]["seen"]
    with Devnet.create(tmp_path / "four", nodes=4, accounts=1) as net:
        assert "one key" in checks(cli, Path(net.net.nodes[0].home), 0)["operators"]["seen"]
    made = cli("testnet", "gen", "10.0.0.1", "10.0.0.2", "--operators", 3, "--out", tmp_path / "safe")
    assert made.code == 0, made.err
    found = checks(cli, tmp_path / "safe" / "nodes" / "node-0", 0)
    assert {name: (found[name]["result"], found[name]["seen"]) for name in ("operators", "pools")} == {
        "operators": ("ok", "2 of 3 decide"),
        "pools": ("ok", "0 of shielded value"),
    }


def test_a_gateway_in_the_clear_and_a_certificate_that_ends_are_named(cli: Cli, home: Path) -> None:
    assert {"gateway", "gateway TLS"}.isdisjoint(checks(cli, home, 0)), "on loopback nobody is on the way"
    text = (home / "config.toml").read_text()
    address = next(line for line in text.split("[http]")[1].splitlines() if line.startswith("listen"))
    text = text.replace(address, address.replace("127.0.0.1", "0.0.0.0"))  # noqa: S104
    (home / "config.toml").write_text(text)
    found = checks(cli, home, 0)["gateway"]
    assert found["result"] == "warn"
    assert "without TLS" in found["seen"]
    assert "gateway.tls_certificate" in found["do"]

    authority = _native.TlsAuthority("test")
    day = time.gmtime(time.time() + 5 * 86_400)
    for until, result, seen in (
        (None, "ok", "valid until 4096-01-01"),
        ((day.tm_year, day.tm_mon, min(day.tm_mday, 28)), "warn", "expire"),
        ((2001, 1, 1), "warn", "expired"),
    ):
        certificate, key = authority.issue(["localhost"], until=until)
        (home / "gateway.pem").write_text(certificate)
        (home / "gateway.key").touch(0o600)
        (home / "gateway.key").write_text(key)
        tls = '[gateway]\ntls_certificate = "gateway.pem"\ntls_key = "gateway.key"\n'
        (home / "config.toml").write_text(f"{text}\n{tls}")
        found = checks(cli, home, 0)
        assert "gateway" not in found
        assert found["gateway TLS"]["result"] == result, found["gateway TLS"]
        assert seen in found["gateway TLS"]["seen"]
    (home / "gateway.key").chmod(0o644)
    found = checks(cli, home, 1)["gateway TLS"]
    assert "everybody on this machine may use the key" in found["seen"]
    assert "chmod o=" in found["do"]


def test_each_fault_is_found_with_advice(cli: Cli, home: Path, tmp_path: Path) -> None:
    (home / "node.key").chmod(0o644)
    (home / "validator.key").rename(home / "storage.key.bak")
    (home / "storage.key").write_bytes((home / "node.key").read_bytes())
    (home / "storage.key").chmod(0o600)
    (home / "genesis.json").write_text("{")
    home.chmod(0o755)
    (tmp_path / "net" / "passphrase").chmod(0o644)
    (home / "tokens.json").touch(0o644)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = (home / "config.toml").read_text()
        address = next(line for line in text.split("[http]")[1].splitlines() if line.startswith("listen"))
        port = taken.getsockname()[1]
        (home / "config.toml").write_text(text.replace(address, f'listen = "127.0.0.1:{port}"'))
        found = checks(cli, home, 1)
    expected = {
        "node.key": ("fail", "chmod 600"),
        "validator.key": ("fail", "restore"),
        "storage.key": ("fail", "put the storage key there"),
        "genesis": ("fail", None),
        "folder": ("warn", "chmod 700"),
        "passphrase": ("fail", None),
        "tokens.json": ("fail", None),
        "http.listen": ("fail", "stop the other process"),
    }
    for name, (result, do) in expected.items():
        assert found[name]["result"] == result, found[name]
        assert do is None or do in found[name]["do"]
    assert "chmod 600" in found["tokens.json"]["seen"]
    assert found["client.listen"]["result"] == "ok"
    (home / "tokens.json").unlink()
    for text in ('[gateway]\nsubmit = "token"\n', '[admin]\nlisten = "127.0.0.1:0"\n'):
        (home / "config.toml").write_text(text)
        found = checks(cli, home, 1)
        assert (found["tokens.json"]["result"], "admin token create" in found["tokens.json"]["do"]) == ("warn", True)
    assert found["admin.listen"]["result"] == "ok"


def test_a_broken_configuration_is_one_check_and_the_machine_is_looked_at(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    found = checks(cli, home, 1)
    assert "there is no" in found["home"]["seen"]
    (home / "config.toml").write_text("[nod]\n")
    found = checks(cli, home, 1)
    assert "did you mean `node`?" in found["home"]["seen"]
    assert found["cores"]["seen"]


def test_without_a_home_only_the_machine_is_looked_at(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ended = cli("doctor")
    assert ended.code == 0
    assert "No home is named" in ended.err
    assert "platform" in ended.out


def test_kinds_of_file_systems_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = "none / overlay rw 0 0\n/dev/a /data ext4 rw 0 0\nhost:/x /data/far\\040away nfs4 rw 0 0\nbroken\n"
    monkeypatch.setattr(doctor, "_text", lambda _: mounts)
    assert doctor._filesystem(Path("/data/home")) == "ext4"
    assert doctor._filesystem(Path("/data/far away/home")) == "nfs4"
    assert doctor._filesystem(Path("/database")) == "overlay"
    assert doctor.Result.fail in [one.result for one in _disk_of(monkeypatch, "nfs4")]
    assert doctor.Result.warn in [one.result for one in _disk_of(monkeypatch, "tmpfs")]


def _disk_of(monkeypatch: pytest.MonkeyPatch, kind: str) -> list[doctor.Check]:
    from rustorium.config import Config
    from rustorium.home.paths import Home

    monkeypatch.setattr(doctor, "_filesystem", lambda _: kind)
    return [one for one in doctor._disk(Home(Path("/nowhere")), Config()) if one.name == "file system"]


def test_a_slow_disk_is_reported(monkeypatch: pytest.MonkeyPatch, home: Path, cli: Cli) -> None:
    clock = iter(range(1_000_000))
    monkeypatch.setattr("rustorium.observe.doctor.time.perf_counter", lambda: next(clock) * 0.05)
    assert checks(cli, home, 0)["disk sync"]["result"] == "warn"


def test_a_unit_is_printed(cli: Cli, home: Path, tmp_path: Path) -> None:
    program = tmp_path / "rustorium-node"
    program.write_text("")
    text = cli("systemd", "print", "--home", home, "--command", program, "--user", "ledger").out
    for line in (
        "Type=notify",
        "WatchdogSec=60",
        f"ExecStart={program} recover auto --home {home}",
        f"ReadWritePaths={home}",
        "User=ledger",
        "NoNewPrivileges=yes",
    ):
        assert f"\n{line}\n" in text
    assert "{" not in text


def test_text_with_a_meaning_for_systemd_is_refused_in_a_unit(cli: Cli, home: Path, tmp_path: Path) -> None:
    program = tmp_path / "rustorium-node"
    cli("systemd", "print", "--home", home, "--command", program).fails(2, "there is no")
    program.write_text("")
    cli("systemd", "print", "--home", tmp_path / "none", "--command", program).fails(3, "there is no")
    cli("systemd", "print", "--home", home, "--command", program, "--user", "root; x").fails(
        2, "is not a valid user name"
    )
    good = Unit("node-0", Path("/var/lib/rustorium"), Path("/usr/bin/rustorium-node"), "rustorium")
    assert "ProtectHome=yes" in unit_text(good)
    assert "ProtectHome=read-only" in unit_text(Unit("node-0", Path("/home/x/n"), good.command, "rustorium"))
    for path in ("/a b", "/a%n", "/a\nUser=root", "relative", "/a/../b", "/a$b"):
        with pytest.raises(UsageError, match="mean something to systemd"):
            unit_text(Unit("node-0", Path(path), good.command, "rustorium"))
    with pytest.raises(UsageError, match="can't be part of a unit's name"):
        unit_text(Unit("my node", good.home, good.command, "rustorium"))


def test_a_full_disk_is_a_failure(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(doctor, "free_bytes", lambda _: 0)
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", full)
    found = checks(cli, home, 1)
    assert (found["free disk"]["result"], found["disk sync"]["result"]) == ("fail", "fail")
    assert "No space left" in found["disk sync"]["seen"]
    assert found["free disk"]["do"].endswith("a node without space stops")


def test_the_remaining_days_of_disk_space_are_reported(cli: Cli, home: Path) -> None:
    assert "not known yet" in checks(cli, home, 0)["disk growth"]["seen"]

    def filled(bytes_an_hour: int, others_an_hour: int = 0) -> dict[str, Any]:
        samples: list[growth.Sample] = []
        for minute in range(90):
            own, others = bytes_an_hour * minute // 60, others_an_hour * minute // 60
            samples = growth.add(samples, growth.Sample(minute * 60_000, 100 * 2**30 - own - others, own))
        growth.write(home, samples)
        return checks(cli, home, 0)["disk growth"]

    found = filled(2**30)
    assert (found["result"], "24.0 GiB a day" in found["seen"], "full in 4 days" in found["seen"]) == (
        "warn",
        True,
        True,
    )
    assert "all history" in found["seen"]
    found = filled(2**20)
    assert (found["result"], "full in 4,2" in found["seen"]) == ("ok", True)
    assert "none in the last hour" in filled(0)["seen"]
    for content in ("{", json.dumps({"free_bytes": [[minute * 60_000, 5] for minute in range(60)]})):
        (home / growth.FILE).write_text(content)
        assert "not known yet" in checks(cli, home, 0)["disk growth"]["seen"]
    # Other files on the disk fill it: the home isn't blamed for them.
    found = filled(2**20, others_an_hour=2**30)
    assert (found["result"], found["do"]) == ("warn", "find what else writes to this disk")
    assert "the home grows by 24.0 MiB a day" in found["seen"]
    assert "all files on its disk grow by 24.0 GiB a day: it is full in 4 days" in found["seen"]
    # Others free space: it isn't counted on.
    assert "full in 4 days" in filled(2**30, others_an_hour=-(2**31))["seen"]


def test_the_bytes_of_a_home_are_those_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "one").write_bytes(bytes(1 << 20))
    os.link(tmp_path / "db" / "one", tmp_path / "twice")
    (tmp_path / "elsewhere").symlink_to("/usr")
    assert 1 << 20 <= growth.home_bytes(tmp_path) < (1 << 20) + (1 << 16)


def test_growth_is_of_the_last_hour_alone() -> None:
    samples: list[growth.Sample] = []
    for minute in range(1_000):
        samples = growth.add(samples, growth.Sample(minute * 60_000, 10**12, 5))
    assert len(samples) == growth.SAMPLES_MAX
    assert samples[0].at_ms == (999 - 60) * 60_000
    put_back = growth.add(samples, growth.Sample(5, 10**12, 5))
    assert put_back == [growth.Sample(5, 10**12, 5)]
    assert growth.days_left(samples[-5:]) is None


def test_a_service_that_could_not_reach_its_files_is_warned_of(cli: Cli, home: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "rustorium-node"
    program.touch()
    said = cli("systemd", "print", "--home", home, "--command", program, "--user", "ledger")
    assert "useradd --system" in said.out
    assert "WARNING: the program" in said.err
    found = hidden(Unit("node-0", Path("/tmp/n"), Path("/var/tmp/v/bin/rustorium-node"), "rustorium"))
    assert ["is below /tmp, which the service sees empty" in found[0], "/opt/rustorium" in found[1]] == [True, True]
    assert hidden(Unit("node-0", Path("/usr/lib"), Path("/usr/bin/env"), "rustorium")) == []
