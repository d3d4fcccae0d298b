"""Keys in a hardware token: SoftHSM signs validators' votes, through the signer process."""

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from process_tools import assert_no_panic, assert_one_sentence, counter, run_command, statuses, wait_for
from rustorium.access.keyfiles import open_key_file
from rustorium.client import Client, Key
from rustorium.home.paths import Home
from rustorium.testing import DevnetFactory
from signer_tools import Signers

pytestmark = pytest.mark.outside

MODULE = next((str(path) for path in Path("/usr/lib").glob("**/libsofthsm2.so")), "/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new token with the label `main`; returns the file with its PIN."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(
        f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    pin = tmp_path / "pin"
    pin.write_text("1234\n")
    pin.chmod(0o600)
    init = ["softhsm2-util", "--init-token", "--free", "--label", "main", "--so-pin", "4321", "--pin", "1234"]
    subprocess.run(init, check=True, capture_output=True)
    return pin


def uri(pin: Path, label: str) -> str:
    return f"pkcs11:token=main;object={label}?module-path={MODULE}&pin-source=file:{pin}"


def put_key(pin: Path, label: str, seed: bytes, folder: Path) -> None:
    """Puts a key (PKCS#8) into the token, which never returns it."""
    text = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + seed).decode()
    file = folder / f"{label}.pem"
    file.write_text(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    words = ["softhsm2-util", "--import", str(file), "--token", "main", "--label", label, "--id", label.encode().hex()]
    subprocess.run([*words, "--pin", pin.read_text().strip()], check=True, capture_output=True)
    file.unlink()


def test_validators_sign_through_a_token(devnet_factory: DevnetFactory, token: Path, tmp_path: Path) -> None:
    net = devnet_factory(start=False, nodes=4, accounts=1)
    for index in range(4):
        file = Home(Path(net.net.nodes[index].home)).validator_key
        put_key(token, f"validator-{index}", open_key_file(file, "validator", net.root / "passphrase", {}), tmp_path)
        file.unlink()
    uris = [uri(token, f"validator-{index}") for index in range(4)]
    key = Key.open(net.net.accounts[0].key_file)
    with Signers(net, uris) as signers:
        net.start()
        with Client(net.net.endpoints, genesis=Path(net.net.genesis), key=key) as client:
            for number in range(5):
                client.put(b"key-%d" % number, b"1", wait="final")
            signers.kill(1)
            client.put(b"meanwhile", b"1", wait="final")
            wait_for(
                "it is found", lambda: "signer-unreachable" in [one.code for one in statuses(net, [1])[0].findings]
            )
            signers.start(1)
            wait_for("it signs again", lambda: counter(net, 1, "rustorium_signer_up") == 1)
            client.put(b"after", b"1", wait="final")
        assert [(one.evidence, one.retired) for one in statuses(net)] == [((), "")] * 4
    assert_no_panic(net)


def test_a_tokens_error_names_what_is_missing(token: Path, tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "state"), "--validator"]
    assert_one_sentence(
        run_command("signer", "init", *state, uri(token, "none")), 1, "holds 0 Ed25519 keys labelled none"
    )
    other = uri(token, "a").replace("token=main", "token=other")
    assert_one_sentence(run_command("signer", "init", *state, other), 1, "no token is labelled other")
    put_key(token, "a", bytes(32), tmp_path)
    token.write_text("9999\n")
    assert_one_sentence(run_command("signer", "init", *state, uri(token, "a")), 1, "check its PIN")


def test_accounts_sign_through_a_token(devnet_factory: DevnetFactory, token: Path, tmp_path: Path) -> None:
    net = devnet_factory(nodes=1, accounts=1)
    account = Key.open(net.net.accounts[0].key_file)
    put_key(token, "account", account.seed, tmp_path)
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        socket = Path(folder) / "s"
        words = ["signer", "run", "--socket", str(socket), "--state", folder, "--genesis", net.net.genesis]
        command = [sys.executable, "-m", "rustorium.cli", *words, "--account", uri(token, "account")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for("it listens", lambda: socket.is_socket() or process.poll() is not None)
            key = Key.open(f"unix:{socket}?key={account.public_key}&region={account.region}")
            with Client(net.net.endpoints, genesis=Path(net.net.genesis), key=key) as client:
                assert client.put(b"by the token", b"1", wait="final").receipt is not None
        finally:
            process.terminate()
            process.wait()
