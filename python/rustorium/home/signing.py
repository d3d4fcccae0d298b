"""The signer process: its keys, its records, and how it starts and stops.

Invariants: secrets are opened in locked memory and never enter Python; only `create_record` makes a record.
"""

import json
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rustorium import _native
from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import public_part
from rustorium.errors import KeyFileError, UsageError
from rustorium.home.keys import open_signing_key

TOKEN = "pkcs11:"


class Signer:
    """A running signer."""

    def __init__(self, process: _native.SignerProcess) -> None:
        self._process = process

    def run_until_signal(self) -> None:
        """Serves until SIGINT or SIGTERM. Every signature is recorded on disk before it is given out."""
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        thread = threading.Thread(target=self._serve, args=(ended,), name="signer")
        thread.start()
        # On some systems a signal doesn't interrupt a wait without a timeout.
        while not ended.wait(0.5):
            pass
        self._process.stop()
        thread.join()

    def _serve(self, ended: threading.Event) -> None:
        try:
            self._process.run()
        finally:
            ended.set()


def open_signer(
    socket: Path,
    state: Path,
    genesis: Sequence[Path],
    validators: Sequence[str],
    accounts: Sequence[str],
    users: Sequence[int],
    passphrase_file: Path | None,
    environment: Mapping[str, str],
) -> tuple[Signer, list[dict[str, object]]]:
    """Opens a signer with these keys; returns it and a row for each key. Errors: UsageError, KeyFileError, HomeError,
    NativeError."""
    # Must happen before the first secret is in memory.
    _native.forbid_core_dumps()
    if not validators and not accounts:
        raise UsageError("the signer has no key: name one with --validator or --account")
    chains = [_native.genesis_hash(read_genesis(path.expanduser())) for path in genesis]
    sources = [("validator", source) for source in validators] + [("account", source) for source in accounts]
    keys = [_held(source, role, passphrase_file, environment) for role, source in sources]
    rows: list[dict[str, object]] = [
        {"role": role, "public_key": key.public.hex(), "source": source.partition("?")[0]}
        for (role, source), key in zip(sources, keys, strict=True)
    ]
    absolute = (str(socket.expanduser().absolute()), str(state.expanduser().absolute()))
    return Signer(_native.SignerProcess(*absolute, chains, list(users), keys)), rows


def create_record(
    state: Path, validator: str, adopt: bool, passphrase_file: Path | None, environment: Mapping[str, str]
) -> dict[str, object]:
    """Makes a key's record. Errors: NativeError, also if there is one."""
    key = _public(validator, passphrase_file, environment)
    _native.signer_create(str(state.expanduser().absolute()), key, adopt)
    return {"public_key": key.hex(), "state": str(state), "adopts": adopt}


def adopt_record(
    state: Path, validator: str, passphrase_file: Path | None, environment: Mapping[str, str]
) -> dict[str, object]:
    """Lets a record accept the journal of the next node that shows one. Errors: NativeError."""
    key = _public(validator, passphrase_file, environment)
    _native.signer_adopt(str(state.expanduser().absolute()), key)
    return {"public_key": key.hex(), "state": str(state), "adopts": True}


def show_record(
    state: Path, validator: str, passphrase_file: Path | None, environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Returns a key's record, one row per shard. Errors: NativeError."""
    key = _public(validator, passphrase_file, environment)
    found = json.loads(_native.signer_show(str(state.expanduser().absolute()), key))
    head = {"public_key": found["public_key"], "mode": found["mode"]}
    return [head | shard for shard in found["shards"]] or [head]


def _held(source: str, role: str, passphrase_file: Path | None, environment: Mapping[str, str]) -> _native.HeldKey:
    if source.startswith(TOKEN):
        return _native.HeldKey.of_token(source, role)
    path = Path(source).expanduser()
    return _native.HeldKey.of_file(open_signing_key(path, _kind(path, role), passphrase_file, environment), role)


def _kind(path: Path, role: str) -> str:
    """Returns the kind in the key file, which must be of this role. Errors: KeyFileError."""
    if not path.is_file():
        return role
    kind, _ = public_part(path)
    if kind.partition(":")[0] != role:
        raise KeyFileError(f"the key in {path} is no {role}'s ({kind}): name another file", code="key-wrong-kind")
    return kind


def _public(source: str, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """Returns the public key of a validator's key file, without opening it if possible, or of a key in a token."""
    path = Path(source).expanduser()
    if not source.startswith(TOKEN) and path.is_file():
        kind, public = public_part(path)
        if kind == "validator" and public:
            return bytes.fromhex(public)
    return _held(source, "validator", passphrase_file, environment).public
