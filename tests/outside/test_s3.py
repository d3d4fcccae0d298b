"""Backups in an S3 server: made, checked, damaged, cut in the middle of an upload, thinned out and restored."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from s3_tools import Line, Server, s3_server

from process_tools import Load, assert_one_sentence
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.outside

BUCKET = "backups"
COMMAND_S = 300.0
PIECE_BYTES = 4 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.make_bucket(BUCKET)
        yield server


class Backup:
    """The group's commands, with a server's credentials."""

    def __init__(self, server: Server, home: Path, root: Path) -> None:
        self.server, self.home = server, home
        self._passphrase = ("--passphrase-file", str(root / "passphrase"))

    def run(self, *arguments: object, url: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a command; `more`: variables of its environment."""
        line = [sys.executable, "-m", "rustorium.cli", "backup", *(str(one) for one in arguments), *self._passphrase]
        environment = self.server.environment() | more
        if url is not None:
            environment["AWS_ENDPOINT_URL"] = url
        return subprocess.run(line, capture_output=True, text=True, timeout=COMMAND_S, check=False, env=environment)

    def __call__(self, *arguments: object, url: str | None = None) -> Any:
        ended = self.run(*arguments, "--allow-http", "-o", "json", url=url)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def backup(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    """A home with a chain and 20 MiB that don't compress; each test has a prefix of its own in the bucket."""
    with Devnet.create(tmp_path_factory.mktemp("backed-up") / "net", nodes=1, accounts=2) as net:
        net.start()
        with Load(net, "some") as load:
            load.wait_for_more(200)
        home = Path(net.net.nodes[0].home)
        with open(home / "config.toml", "a") as file:
            file.write(f"# {random.Random(7).randbytes(10 << 20).hex()}\n")
        yield Backup(server, home, net.root)


def test_a_home_goes_to_a_bucket_and_comes_back(backup: Backup, tmp_path: Path) -> None:
    home, place = backup.home, f"s3://{BUCKET}/whole/node-0"
    assert_one_sentence(backup.run("create", "--home", home, "--to", place), 2, "--allow-http", "[usage]")
    first = backup("create", "--home", home, "--to", place)
    second = backup("create", "--home", home, "--to", place)
    assert second["new_bytes"] < first["bytes"] / 4
    rows = backup("list", "--home", home, "--from", place)
    assert [(row["id"], row["state"]) for row in rows] == [(first["id"], "good"), (second["id"], "good")]
    verified = backup("verify", "--home", home, "--from", place)
    assert (verified["backups"], verified["damaged"]) == (2, [])
    restored = backup("restore", "--from", place, "--key", home / "backup.key", "--home", tmp_path / "restored")
    assert (restored["id"], restored["key_retired"]) == (second["id"], True)
    assert (tmp_path / "restored" / "config.toml").read_bytes() == (home / "config.toml").read_bytes()
    gone = backup("prune", "--home", home, "--to", place, "--keep", 1)
    assert gone["removed"] == [first["id"]]
    assert backup("verify", "--home", home, "--from", place)["unneeded"] == 0
    damaged_objects_are_named(backup, place)


def damaged_objects_are_named(backup: Backup, place: str) -> None:
    names = list(backup.server.sizes(BUCKET, "whole"))
    assert len(names) > 10
    for name in (names[0], *[name for name in names if "/pieces/" in name][:2], names[-1]):
        path = f"/{BUCKET}/{name}"
        good = backup.server.request("GET", path).content
        bad = good[:-1] + bytes([good[-1] ^ 1])
        for harm in (lambda path=path, bad=bad: backup.server.request("PUT", path, bad),
                     lambda path=path: backup.server.request("DELETE", path)):  # fmt: skip
            assert harm().status_code in (200, 204)
            ended = backup.run("verify", "--home", backup.home, "--from", place, "--allow-http")
            assert_one_sentence(ended, 4, name.removeprefix("whole/node-0/"), "damaged", "[backup-damaged]")
        assert backup.server.request("PUT", path, good).status_code == 200
    assert backup("verify", "--home", backup.home, "--from", place)["damaged"] == []


def test_an_interrupted_upload_is_no_backup_and_is_continued(backup: Backup) -> None:
    home, place = backup.home, f"s3://{BUCKET}/cut"

    def one_arrived() -> bool:
        # Some pieces are sent at one time: at 12 MiB none need be whole. Small ones are of files that the running node
        # changes, so that the next backup has others.
        return max(backup.server.sizes(BUCKET, "cut").values(), default=0) >= PIECE_BYTES

    line = Line(backup.server, 12 << 20, heals=False, after=one_arrived)
    ended = backup.run("create", "--home", home, "--to", place, "--allow-http", url=line.url)
    line.close()
    assert line.cuts >= 1
    assert_one_sentence(ended, 1, "can't be reached or written", "run the command again", "[backup-place-failed]")
    assert_one_sentence(backup.run("list", "--home", home, "--from", place, "--allow-http"), 3, "holds no backup")
    arrived = backup.server.sizes(BUCKET, "cut")
    assert arrived, "it was cut in the middle"
    made = backup("create", "--home", home, "--to", place)
    assert made["new_bytes"] < made["bytes"], "what had arrived is used"
    assert backup("verify", "--home", home, "--from", place)["damaged"] == []
    whole = backup.server.sizes(BUCKET, "cut")
    assert {name: whole.get(name) for name in arrived} == arrived, "what had arrived was whole, and is used"


def test_a_connection_that_breaks_sometimes_only_costs_retries(backup: Backup) -> None:
    home, place = backup.home, f"s3://{BUCKET}/breaks"
    line = Line(backup.server, 6 << 20, heals=True)
    made = backup("create", "--home", home, "--to", place, url=line.url)
    line.close()
    assert line.cuts >= 1
    assert backup("verify", "--home", home, "--from", place)["damaged"] == []
    assert backup("list", "--home", home, "--from", place)[0]["id"] == made["id"]


def test_a_missing_or_foreign_bucket_is_one_sentence(backup: Backup) -> None:
    at = ("--home", backup.home, "--allow-http")
    nowhere, ours = "s3://no-such-bucket/x", f"s3://{BUCKET}/refused"
    for command, to in (("create", "--to"), ("list", "--from"), ("verify", "--from")):
        ended = backup.run(command, *at, to, nowhere)
        assert_one_sentence(ended, 1, f"{nowhere} can't be reached or written", "NoSuchBucket", "[backup-place-failed]")
        for wrong, says in (
            ({"AWS_SECRET_ACCESS_KEY": "another-password"}, ("SignatureDoesNotMatch",)),
            ({"AWS_ACCESS_KEY_ID": "nobody"}, ("UserNotFound", "InvalidAccessKeyId")),
        ):
            ended = backup.run(command, *at, to, ours, **wrong)
            assert_one_sentence(ended, 1, f"{ours} can't be reached or written", "[backup-place-failed]")
            assert any(code in ended.stderr for code in says), ended.stderr
            assert "<" not in ended.stderr, "no markup"
    assert backup.server.sizes(BUCKET, "refused") == {}, "nothing of it was taken"
