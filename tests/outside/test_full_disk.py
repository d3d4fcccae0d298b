"""A validator whose disk fills up stops with one sentence, the others go on, and with room again it comes back.

The disk is a small tmpfs in a mount namespace of the validator's own, which ends with it: nothing stays mounted.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from process_tools import DEADLINE_S, assert_no_panic, assert_one_sentence, assert_same_roots, level, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.net.probe import is_ready

pytestmark = pytest.mark.outside

SIZE_MB = 96
VALUE = bytes(48 * 1024)


@contextmanager
def on_small_disk(home: Path, size_mb: int) -> Iterator[subprocess.Popen[str]]:
    """Runs the home's validator with a copy of the home on a disk of that size, which is copied back at its end."""
    copy = home.with_name("copy")
    copy.mkdir()
    shell = (
        'mount -t tmpfs -o "size=$1m,mode=700" none "$3" && cp -a "$2/." "$3/" && rm -rf "$3/full" && '
        '{ "$4" -m rustorium.cli start --home "$3"; code=$?; rm -f "$3/full"; cp -a "$3/." "$2/" ; exit $code; }'
    )
    shutil.copytree(home, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    command = [*namespace, "sh", "-c", shell, "sh", str(size_mb), str(copy), str(home), sys.executable]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        shutil.rmtree(home)
        shutil.move(copy, home)


def fill(disk: Path) -> int:
    """Fills the disk; returns the number of bytes."""
    taken = 0
    with open(disk / "full", "wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    taken += filler.write(bytes(size))
            except OSError:
                continue
    return taken


def test_a_full_disk_stops_one_validator_without_loss(tmp_path: Path) -> None:
    with Devnet.create(tmp_path / "net", accounts=2) as net:
        node = net.net.nodes[3]
        home = Path(node.home)
        for index in range(3):
            net.spawn(index)
        net.wait_ready(indexes=[0, 1, 2])
        key = Key.open(net.net.accounts[0].key_file)
        with Client([one.http for one in net.net.nodes[:3]], genesis=Path(net.net.genesis), key=key) as client:
            client.put(b"before", b"1")
            with on_small_disk(home, SIZE_MB) as process:
                wait_for("it is ready", lambda: is_ready(node.http))
                print(f"{fill(Path(f'/proc/{process.pid}/root{home}')) >> 20} MB were free")
                number = 0
                while process.poll() is None and number < 5_000:
                    client.put(b"large %d" % number, VALUE)
                    number += 1
                _, err = process.communicate(timeout=DEADLINE_S)
            ended = subprocess.CompletedProcess(process.args, process.returncode, "", err)
            print(f"{number} transactions later: {err.strip()}")
            assert_one_sentence(ended, 1, "the disk that holds", "is full", "free space")
            client.put(b"after", b"1")
        net.restart(3)
        wait_for("all are level", lambda: level(net))
        assert_same_roots(net)
        assert_no_panic(net)
