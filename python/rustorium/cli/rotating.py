"""The work of `keys rotate`, one function per kind of key.

Invariants: SYNC; the home's configuration names its passphrase file, unless an option does.
"""

import os
from pathlib import Path

from rustorium import _native
from rustorium.access.passphrases import find_passphrase, read_passphrase
from rustorium.cli.output import note, progress
from rustorium.errors import HomeError, KeyFileMissing, NotReady, UsageError
from rustorium.home import passphrases
from rustorium.home.noting import note_by_operator
from rustorium.home.passphrases import PASSPHRASE_ORDERED
from rustorium.home.paths import Home
from rustorium.node.admin import rotation
from rustorium.node.admin.backups import Opener, Place
from rustorium.node.admin.remote import NO_NODE, Remote
from rustorium.node.admin.socket import call


def rows(plane: Path | Remote) -> dict[str, object]:
    """Makes a new key for rows, under the same storage key."""
    with progress("rows encrypted again") as advance:
        return rotation.rotate(plane, advance)


def master(home: Home, passphrase_file: Path | None) -> dict[str, object]:
    """Makes a new storage key."""
    with progress("encrypted again") as advance:
        return rotation.replace_master(home, Opener(passphrase_file, os.environ).of_home(home), advance)


def backup(
    key: Path, home: Path | None, passphrase_file: Path | None, discard_old: bool, place: str | None
) -> dict[str, object]:
    """Makes a new backup key, or destroys the previous one. Errors: KeyFileMissing, KeyFileError, UsageError,
    NativeError."""
    file = key.expanduser().absolute()
    old = file.with_name(file.name + ".old")
    opener = Opener(passphrase_file, os.environ)
    opener = opener if home is None else opener.of_home(Home(home.expanduser()))
    if discard_old:
        _refuse_needed(old, file, opener, place)
        _native.destroy_file(str(old))
        return {"key": str(file), "discarded": str(old)}
    if not file.is_file():
        raise KeyFileMissing(f"there is no backup key {file}: name it with --key; `backup create` makes the first one")
    _native.replace_backup_key(str(file), find_passphrase(file, opener.passphrase_file, opener.environment))
    note(f"Keep a copy of {file} off this machine. As long as {old} exists, it opens the backups made until now.")
    return {"key": str(file), "key_before": str(old)}


def _refuse_needed(old: Path, key: Path, opener: Opener, place: str | None) -> None:
    if not old.is_file() or place is None:
        return
    needed = opener.backups(Place(place), key).under_older()
    if needed:
        raise UsageError(
            f"{needed} backups in {place} can be opened only with {old}: remove them with `backup prune --keep` "
            "once there are newer ones, or leave out --from to give them up"
        )


def passphrase(
    place: Path, passphrase_file: Path | None, new_passphrase_file: Path | None, signer_apart: bool
) -> dict[str, object]:
    """Replaces the passphrase of a home's key files, of the key files in a folder, or of one file. Errors: HomeError if
    a signer process has the home's validator key, because its file may open only with the old passphrase."""
    configured = passphrase_file
    if (place / "config.toml").is_file() and not signer_apart:
        _refuse_signers(Home(place))
    if passphrase_file is None and (place / "config.toml").is_file():
        configured = Opener(None, os.environ).of_home(Home(place)).passphrase_file
    opener = passphrases.Opener(configured, new_passphrase_file, os.environ)
    home = Home((place if place.is_dir() else place.parent).absolute())

    def order(files: int) -> None:
        if home.config.is_file() and home.node_key.is_file():
            _audit(home, opener, {"key_files": files})

    if place.is_file():
        done = passphrases.rotate_file(place, opener, order)
    else:
        with progress("key files") as advance:
            done = passphrases.rotate_folder(place, opener, advance, order)
    return {"kept_in": str(done.kept_in), "key_files": [str(file) for file in done.files]}


def _audit(home: Home, opener: passphrases.Opener, fields: dict[str, object]) -> None:
    """Writes the order into the home's audit log, through its node if it runs. An interrupted change may have given the
    node's key the new passphrase already. Errors: NativeError, KeyFileError, NodeError."""
    try:
        call(home.admin_socket, "note_passphrase", fields={"by": "operator", **fields})
    except NotReady as error:
        if error.code != NO_NODE:
            raise
        new = opener.new
        done = new is not None and _native.key_opens(str(home.node_key), read_passphrase(new))
        note_by_operator(home, PASSPHRASE_ORDERED, fields, new if done else opener.old, opener.environment)


def _refuse_signers(home: Home) -> None:
    """Refuses a home with a signer: the signer's key file is elsewhere, and may open only with the old passphrase."""
    if home.signer_key():
        raise HomeError(
            f"a signer process has the validator key of {home.path}, and its key file may open with this passphrase "
            "alone: seal that file anew first (`keys rotate passphrase --key FILE --passphrase-file OLD "
            "--new-passphrase-file NEW`), and then run this with --signer-apart",
            code="key-in-signer",
        )
