"""`debug bundle`: secrets that are put everywhere are nowhere in it, in no form; and the useful files are in it."""

import base64
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.access.keyfiles import open_key_file
from rustorium.access.passphrases import read_passphrase
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.observe.masking import MASK, Masker

TOKEN = "canary-token-5b1f"
PASSWORD = "canary-pass word"
BEARER = "canaryBearer0123456789"
ACCESS = "rsk_0123456789abcdef_canaryAccessTokenCanaryAccessTokenCanary012"
"""One of our tokens, which is masked wherever it is."""
FILED = "rsk_fedcba9876543210_canaryFiledTokenCanaryFiledTokenCanary_0123"
AWS = "AKIACANARYCANARY0123"
PEM = "canaryPEMcanaryPEM"
LOOSE = (
    "canary-db",
    "canary-safety",
    "canary-owner",
    TOKEN,
    PASSWORD,
    "hunter2canary",
    BEARER,
    ACCESS,
    FILED,
    AWS,
    PEM,
    "dbpasscanary",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Returns a net's files; none of its nodes runs."""
    with Devnet.create(tmp_path_factory.mktemp("net"), nodes=1, accounts=1) as net:
        yield net


def forms(secret: bytes) -> list[bytes]:
    encoded = [
        base64.b64encode(secret),
        base64.urlsafe_b64encode(secret),
        secret.hex().encode(),
        secret.hex().upper().encode(),
    ]
    return [secret, *(one.rstrip(b"=") for one in encoded)]


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def plant(net: Devnet, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Puts secrets where they belong and where they should never be; returns them."""
    home = Home(Path(net.net.nodes[0].home))
    passphrase = read_passphrase(net.root / "passphrase")
    keys = [
        open_key_file(path, kind, net.root / "passphrase", {})
        for path, kind in ((home.node_key, "node"), (home.validator_key, "validator"))
    ]
    sealed = [json.loads(path.read_text())["sealed"].encode() for path in home.path.glob("*.key")]
    (home.db / "000001.sst").write_text("canary-db")
    (home.safety / "segment-9").write_text("canary-safety")
    (home.path / "owner.key").write_text("canary-owner")
    with open(home.config, "a") as config:
        config.write("# admin password: hunter2canary\n# postgres://admin:dbpasscanary@10.0.0.1/x\n")
    with open(home.path / "log" / "node.jsonl", "a") as log:
        for form in [one for secret in (passphrase, *sealed) for one in forms(secret)]:
            log.write(f"leak {form.decode()} leak\n")
        log.write(json.dumps({"ts": 1, "level": "info", "event": "x", "api_token": TOKEN, "password": PASSWORD}) + "\n")
        log.write(
            f"{ACCESS}\nGET /x?y={ACCESS}&z\n"
            f"Authorization: Bearer {BEARER}\n{AWS}\n-----BEGIN PRIVATE KEY-----\n{PEM}\n-----END PRIVATE KEY-----\n"
        )
    filed = net.root / "client.token"
    filed.write_text(f"{FILED}\n")
    filed.chmod(0o600)
    monkeypatch.setenv("RUSTORIUM_TOKEN_FILE", str(filed))
    with open(home.path / "log" / "node.jsonl", "a") as log:
        log.write("".join(f"leak {form.decode()} leak\n" for form in forms(FILED.encode())))
    (home.path / "run" / "recovery.json").write_text(json.dumps({"state": "asks", "reason": f"secret={TOKEN}"}))
    monkeypatch.setenv("RUSTORIUM_ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("OTHER_SECRET", "canary-elsewhere")
    return [passphrase, *keys, *sealed, *(one.encode() for one in LOOSE), b"canary-elsewhere"]


def test_no_secret_is_in_the_bundle_in_any_form(
    cli: Cli, made: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = plant(made, monkeypatch)
    out = tmp_path / "bundle.tar.gz"
    ended = cli("debug", "bundle", "--home", made.net.nodes[0].home, "--out", out, "-o", "json")
    assert ended.code == 0, ended.err
    assert out.stat().st_mode & 0o777 == 0o600
    parts = content(out)
    for secret in secrets:
        for form in forms(secret):
            for name, text in parts.items():
                assert form.lower() not in text.lower(), (name, form)
    log = parts["rustorium-debug/log/node.jsonl"].decode()
    assert log.count(f"leak {MASK} leak") > 10
    assert f"Authorization: {MASK}\n" in log
    assert MASK in parts["rustorium-debug/config.toml"].decode()
    assert f"postgres://{MASK}@10.0.0.1" in parts["rustorium-debug/config.toml"].decode()


def test_useful_files_are_in_the_bundle(cli: Cli, made: Devnet, tmp_path: Path) -> None:
    out = tmp_path / "bundle.tar.gz"
    ended = cli("debug", "bundle", "--home", made.net.nodes[0].home, "--out", out, "-o", "json")
    parts = {name.removeprefix("rustorium-debug/"): text for name, text in content(out).items()}
    assert json.loads(ended.out)["parts"] == len(parts)
    assert json.loads(parts["about.json"])["version"]
    assert {check["name"] for check in json.loads(parts["doctor.json"])} >= {"cores", "disk sync", "node.key"}
    assert b"node.key" in parts["files.txt"], "that it is there, not what is in it"
    assert ["log.level", "info", "default"] in json.loads(parts["config.json"])
    assert json.loads(parts["genesis.json"])["validators"][0]["validator_key"], "public keys are no secrets"
    assert MASK.encode() not in parts["genesis.json"]
    assert b"no node answers" in parts["node/status.json.missing"]
    assert "machine/meminfo" in parts
    assert not any(name.endswith(".key") or name.startswith(("safety", "db")) for name in parts)


def test_bad_input_is_one_sentence(cli: Cli, made: Devnet, tmp_path: Path) -> None:
    home = made.net.nodes[0].home
    (tmp_path / "there").write_text("mine")
    cli("debug", "bundle", "--home", home, "--out", tmp_path / "there").fails(2, "never overwritten")
    assert (tmp_path / "there").read_text() == "mine"
    cli("debug", "bundle", "--home", home, "--out", tmp_path / "no" / "x").fails(2, "can't be written")
    cli("debug", "bundle", "--home", tmp_path / "none", "--out", tmp_path / "x").fails(3, "there is no home")
    assert not (tmp_path / "x").exists()


def test_a_broken_home_is_bundled_too(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(f'[node]\nname = "x"\n[admin]\napi_token = "{TOKEN}"\n')
    out = tmp_path / "bundle.tar.gz"
    assert cli("debug", "bundle", "--home", home, "--out", out).code == 0
    parts = content(out)
    assert b"there is no key `api_token` in [admin]" in parts["rustorium-debug/config.json.missing"]
    assert all(TOKEN.encode() not in text for text in parts.values())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password=abc", f"password={MASK}"),
        ('{"passphrase": "a b \\" c", "x": 1}', f'{{"passphrase": {MASK}, "x": 1}}'),
        ("my_secret_key: 'x y'", f"my_secret_key: {MASK}"),
        ("https://u:p@h/x", f"https://{MASK}@h/x"),
        ("Basic dXNlcjpwYXNz", f"Basic {MASK}"),
        ("Authorization: Bearer abc def\nnext", f"Authorization: {MASK}\nnext"),
        ("the password: two words, and more", f"the password: {MASK}, and more"),
        ("token=abc next", f"token={MASK} next"),
        ('passphrase_file = "/etc/pw"', 'passphrase_file = "/etc/pw"'),
        ("RUSTORIUM_PASSPHRASE_FILE=/etc/pw", "RUSTORIUM_PASSPHRASE_FILE=/etc/pw"),
        ("height=7 view=8", "height=7 view=8"),
    ],
)
def test_secrets_are_masked_and_file_names_are_not(text: str, masked: str) -> None:
    assert Masker([]).text(text) == masked


def test_known_secrets_are_masked_in_every_form_and_short_ones_cannot_be() -> None:
    secret = os.urandom(24)
    masker = Masker([secret, b"pw"])
    for form in forms(secret)[1:]:
        assert masker.text(f"a {form.decode()} b") == f"a {MASK} b"
    assert masker.text("pwd") == "pwd"
    assert masker.raw(b"\xff\xfe ok").endswith(b" ok")
