"""A home of release 0.1.0 (tests/data) is refused, upgraded, started and taken back, and nothing in it is lost."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from process_tools import DEADLINE_S, assert_one_sentence, start_home
from rustorium.client import Client, Key
from rustorium.home.paths import Home
from rustorium.types import Subject, Value

MADE = Path(__file__).parents[1] / "data" / "home-0.1.0.tar.xz"
FREE_PORTS = [part for name in ("p2p", "http", "client", "metrics") for part in (f"--{name}-listen", "127.0.0.1:0")]
KEPT = b"by the release before"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    with tarfile.open(MADE) as archive:
        archive.extractall(tmp_path, filter="data")
    return Home(tmp_path / "nodes" / "node-0")


def picture(home: Home, *names: str) -> dict[str, str]:
    """Returns hashes of the home's files, or of those with these prefixes, without its locks."""
    files = {str(path.relative_to(home.path)): path for path in home.path.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if name.startswith(names or "") and path.name not in ("LOCK", "lock")
    }


def upgrade(home: Home, *more: str) -> list[str]:
    """Runs `upgrade`; returns the steps that were done."""
    command = [sys.executable, "-m", "rustorium.cli", "upgrade", "--home", str(home.path), "-o", "json", *more]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return [one["step"] for one in json.loads(ended.stdout)]


@contextmanager
def running(home: Home) -> Iterator[Client]:
    """Runs the home's node, and yields a client of it; the node must end cleanly."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "rustorium.cli", "start", "--home", str(home.path), *FREE_PORTS]
    process = subprocess.Popen([*command, "--ready-fd", str(write)], pass_fds=(write,), stderr=subprocess.PIPE)
    os.close(write)
    try:
        with os.fdopen(read) as ready:
            addresses = json.loads(ready.readline() or "null")
        assert addresses is not None, process.communicate(timeout=DEADLINE_S)
        key = Key.open(home.path.parents[1] / "accounts" / "account-0.key")
        with Client([f"http://{addresses['http']}"], genesis=home.genesis, key=key, timeout_s=DEADLINE_S) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr is not None
        process.stderr.close()


def test_a_home_of_the_previous_release_continues(home: Home) -> None:
    before, config = picture(home), home.config.read_bytes()
    refused = start_home(home.path, *FREE_PORTS)
    assert_one_sentence(refused, 1, "has format 1, that of release 0.1.0", "rustorium-node upgrade", "[home-older]")
    assert picture(home) == before, "a refused start changes nothing"
    kept = picture(home, "safety/", "db/", "node.key", "validator.key", "storage.key")
    assert upgrade(home) == ["config.toml", "format.json"]
    assert picture(home, "safety/", "db/", "node.key", "validator.key", "storage.key") == kept
    key = Key.open(home.path.parents[1] / "accounts" / "account-0.key")
    with running(home) as client:
        assert client.get(key.address, b"kept") == KEPT, "proven"
        written = client.put(b"since", b"by this release").receipt
        assert written is not None
    journal = picture(home, "safety/")
    assert upgrade(home, "--back") == ["format.json", "config.toml"]
    assert home.config.read_bytes() == config
    assert picture(home, "safety/") == journal, "the journal is today's, whichever way the home goes"
    assert not (home.path / "format.json").exists()
    upgrade(home)
    with running(home) as client:
        # A new client may be shown the root before the write, so it names the height.
        subjects = [Subject(key.address, key=name) for name in (b"kept", b"since")]
        shown = client.prove(subjects, from_height=written.height).items.values()
        assert [one.value for one in shown if isinstance(one, Value)] == [KEPT, b"by this release"]
    events = [json.loads(line)["event"] for line in (home.path / "audit" / "audit.jsonl").read_text().splitlines()]
    assert events.count("upgrade") == 6
