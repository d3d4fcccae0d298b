"""Real processes: validators whose keys are in signer processes; kill -9 of a signer, and two nodes with one key."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from process_tools import assert_no_panic, assert_one_sentence, counter, level, run_command, statuses, wait_for
from rustorium import _native
from rustorium.client import Client, Key, SigningFile, operations
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory
from signer_tools import Signers

pytestmark = pytest.mark.nodes

FREE_PORTS = [part for name in ("p2p", "http", "client", "metrics") for part in (f"--{name}-listen", "127.0.0.1:0")]


def log_of(home: Path) -> str:
    path = home / "log" / "node.jsonl"
    return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def refused_copy(net: Devnet, victim: int, folder: Path, shards: int = 1) -> Iterator[Path]:
    """Suspends a node, and runs a copy of its home, which the signer refuses in each shard. Yields the copy's home."""
    copy, output = folder / "copy", folder / "copy.log"
    net.signal(victim, signal.SIGSTOP)
    shutil.copytree(net.net.nodes[victim].home, copy, ignore=shutil.ignore_patterns("*.sock", "node.jsonl", "lock"))
    command = [sys.executable, "-m", "rustorium.cli", "start", "--home", str(copy), *FREE_PORTS]
    command += ["--passphrase-file", str(net.root / "passphrase")]
    with output.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        wait_for(
            "the signer refuses the copy",
            lambda: log_of(copy).count('"signer-in-use"') >= shards or process.poll() is not None,
        )
        assert process.poll() is None, output.read_text()
        assert '"signer_ready"' not in log_of(copy)
        yield copy
    finally:
        process.kill()
        process.wait()


def test_validators_sign_through_their_signers_and_never_twice(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory(start=False, nodes=4, accounts=1)
    validators = json.loads(Path(net.net.genesis).read_text())["validators"]
    # This validator dials every other node, so a copy of it reaches them all.
    victim = min(range(4), key=lambda index: validators[index]["node_key"])
    others = [index for index in range(4) if index != victim]
    key = Key.open(net.net.accounts[0].key_file)
    home = Home(Path(net.net.nodes[victim].home))
    with Signers(net) as signers:
        net.start()
        assert not home.validator_key.exists()
        with Client([net.net.nodes[index].http for index in others], genesis=Path(net.net.genesis), key=key) as client:
            for number in range(5):
                client.put(b"before-%d" % number, b"1", wait="final")
            assert all(counter(net, index, "rustorium_signer_up") == 1 for index in range(4))

            # After kill -9 of the signer, the node goes on without voting, reports it, and votes again once the signer
            # is back.
            signers.kill(victim)
            client.put(b"meanwhile", b"1", wait="final")
            wait_for(
                "it is found", lambda: "signer-unreachable" in [one.code for one in statuses(net, [victim])[0].findings]
            )
            wait_for("it follows", lambda: level(net))
            signers.start(victim)
            wait_for("it signs again", lambda: counter(net, victim, "rustorium_signer_up") == 1)
            assert net.terminate(others[0]) == 0
        running = [victim, *others[1:]]
        with Client([net.net.nodes[index].http for index in running], genesis=Path(net.net.genesis), key=key) as client:
            client.put(b"needed", b"1", wait="final")
            net.restart(others[0])

            # Two nodes with one key: while one has the signer, the other gets no signatures.
            with refused_copy(net, victim, tmp_path) as copy:
                net.kill(victim)
                wait_for("it takes over", lambda: '"signer_ready"' in log_of(copy))
                # Three of four are a quorum: the chain goes on only if the copy's votes count.
                wait_for("it may sign", lambda: '"may_sign"' in log_of(copy))
                assert net.terminate(others[0]) == 0
                with Client(
                    [net.net.nodes[index].http for index in others[1:]], genesis=Path(net.net.genesis), key=key
                ) as two:
                    two.put(b"by the copy", b"1", wait="final")
                assert [(one.evidence, one.retired) for one in statuses(net, others[1:])] == [((), "")] * 2
    assert_no_panic(net)


def test_accounts_sign_through_a_signer(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory(nodes=1, accounts=2)
    account = Key.open(net.net.accounts[0].key_file)
    socket = Path(signers_folder(tmp_path)) / "a.sock"
    words = ["signer", "run", "--socket", str(socket), "--state", str(tmp_path / "state"), "--genesis", net.net.genesis]
    words += ["--account", net.net.accounts[0].key_file, "--passphrase-file", str(net.root / "passphrase")]
    with (tmp_path / "signer.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "rustorium.cli", *words], stdout=log, stderr=log)
    try:
        said = tmp_path / "signer.log"
        wait_for("it listens", lambda: "listens at" in said.read_text() or process.poll() is not None)
        assert socket.stat().st_mode & 0o777 == 0o600
        url = f"unix:{socket}?key={account.public_key}&region={account.region}"
        key = Key.open(url)
        assert (key.address, key.is_remote) == (account.address, True)
        with Client(net.net.endpoints, genesis=Path(net.net.genesis), key=key) as client:
            assert client.put(b"by the signer", b"1", wait="final").receipt is not None
            signed = client.sign([operations.put(account.address, "form", "2")])
            assert json.loads(_native.describe_transaction(signed.raw))["version"] == 2, "as with a key file"
            file = client.prepare([operations.put(account.address, "by file", "1")], account=account.address)
            assert client.send_file(client.sign_file(file, key=key)).receipt is not None
            with pytest.raises(_native.NativeError, match="names another key"):
                _native.signer_signature(str(socket), bytes.fromhex(key.public_key), of_other_keys(file))
        other = f"unix:{socket}?key={Key.open(net.net.accounts[1].key_file).public_key}"
        ended = run_command("tx", "put", "name", "value", "--net", str(net.path), "--key", other)
        assert_one_sentence(ended, 1, "doesn't hold this key", "[signer-other-key]")
    finally:
        process.terminate()
        assert process.wait() == 0
    assert not socket.exists()


def of_other_keys(file: SigningFile) -> _native.UnsignedTransaction:
    """The same transaction of an account that another key has."""
    listed = json.dumps(file.operations)
    return _native.UnsignedTransaction.build(
        file.chain, 1, [Key.generate().public_key], file.sender, file.nonce, file.expires_at_ms, listed, True
    )


def signers_folder(tmp_path: Path) -> str:
    """A folder whose path is short enough for a socket's."""
    import tempfile

    return tempfile.mkdtemp(prefix="rs-")


def test_a_signers_error_names_what_is_missing(tmp_path: Path, devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(start=False, nodes=1, accounts=1)
    home = Home(Path(net.net.nodes[0].home))
    passphrase = ["--passphrase-file", str(net.root / "passphrase")]
    run = ["signer", "run", "--socket", str(tmp_path / "s.sock"), "--state", str(tmp_path / "state")]
    run += ["--genesis", net.net.genesis]
    assert_one_sentence(run_command(*run), 2, "--validator or --account")
    key = ["--validator", str(home.validator_key)]
    assert_one_sentence(run_command(*run, *key, *passphrase), 1, "signer init", "[signer-state-missing]")
    wrong = ["--account", str(home.validator_key)]
    assert_one_sentence(run_command(*run, *wrong, *passphrase), 1, "no account's", "[key-wrong-kind]")
    state = ["--state", str(tmp_path / "state")]
    assert run_command("signer", "init", *state, *key).returncode == 0
    assert_one_sentence(run_command("signer", "init", *state, *key), 1, "[signer-state-exists]")
    shown = run_command("signer", "show", *state, *key, "-o", "json")
    assert json.loads(shown.stdout)[0]["mode"] == "guarding"
    assert run_command("signer", "adopt", *state, *key).returncode == 0
    shown = run_command("signer", "show", *state, *key, "-o", "json")
    assert json.loads(shown.stdout)[0]["mode"] == "adopting"
    # A home that also contains the signer's key could sign twice.
    public = json.loads(home.validator_key.read_text())["public"]
    section = f'\n[signer]\nurl = "unix:/run/s.sock"\nkey = "{public}"\n'
    home.config.write_text(home.config.read_text() + section)
    ended = run_command("start", "--home", str(home.path), *passphrase)
    assert_one_sentence(ended, 1, "two processes with one key", "[key-twice]")


def test_commands_that_need_the_key_file_say_that_a_signer_has_it(
    tmp_path: Path, devnet_factory: DevnetFactory
) -> None:
    net = devnet_factory(start=False, nodes=4, accounts=1)
    home = Home(Path(net.net.nodes[0].home))
    public = json.loads(home.validator_key.read_text())["public"]
    home.config.write_text(home.config.read_text() + f'\n[signer]\nurl = "unix:/run/s.sock"\nkey = "{public}"\n')
    moved = home.validator_key.rename(tmp_path / "validator.key")
    old = tmp_path / "old"
    old.write_bytes((net.root / "passphrase").read_bytes())
    old.chmod(0o600)
    named = ["--home", str(home.path)]
    replaced = run_command("node", "replace-key", *named, "--net", str(net.path), "--passphrase-file", str(old))
    assert_one_sentence(replaced, 1, "stop that too", "signer init", "[key-in-signer]")
    # Otherwise the passphrase would be gone, and with it the signer's key.
    rotate = ["keys", "rotate", "passphrase"]
    refused = run_command(*rotate, *named, "--passphrase-file", str(old))
    assert_one_sentence(refused, 1, "--signer-apart", "[key-in-signer]")
    new = tmp_path / "new"
    new.write_text("another one\n")
    new.chmod(0o600)
    words = ["--passphrase-file", str(old), "--new-passphrase-file", str(new)]
    assert run_command(*rotate, "--key", str(moved), *words).returncode == 0
    assert run_command(*rotate, *named, *words, "--signer-apart").returncode == 0
    state = ["--state", str(tmp_path / "state"), "--validator", str(moved)]
    assert run_command("signer", "init", *state, "--passphrase-file", str(new)).returncode == 0
    # The key that encrypts the store isn't the signer's key.
    assert run_command("keys", "rotate", "master", *named, "--passphrase-file", str(new)).returncode == 0


def test_a_signer_serves_all_shards_of_its_node_and_of_no_other(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory(start=False, nodes=4, accounts=2, shards=2)
    victim, other = 3, 2

    def signs(index: int) -> bool:
        return [counter(net, index, f'rustorium_signer_up{{shard="{shard}"}}') for shard in (0, 1)] == [1, 1]

    with Signers(net) as signers:
        net.start()
        with Client.from_net(net.path, timeout_s=60.0) as client:
            keys = {
                client.shard_of(key.address): key for key in map(Key.open, (one.key_file for one in net.net.accounts))
            }

            def write(name: str) -> None:
                for key in keys.values():
                    client.put(name, "1", key=key)

            write("before")
            wait_for("all sign in both shards", lambda: all(signs(index) for index in range(4)))
            signers.kill(victim)
            write("meanwhile")
            wait_for("it is found", lambda: "signer-unreachable" in findings_of(net, victim))
            signers.start(victim)
            wait_for("it signs again", lambda: signs(victim))
            # Three of four are a quorum: from here on each shard needs the victim's votes.
            assert net.terminate(other) == 0
            write("needed")

            with refused_copy(net, victim, tmp_path, shards=2):
                pass
            net.signal(victim, signal.SIGCONT)
            write("after")
            assert [(one.evidence, one.retired) for one in statuses(net, [0, 1])] == [((), "")] * 2
    assert_no_panic(net)


def findings_of(net: Devnet, index: int) -> list[str]:
    return [one.code for one in statuses(net, [index])[0].findings]
