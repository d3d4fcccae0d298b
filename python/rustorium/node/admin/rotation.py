"""Orders a running node to rotate its storage keys, and follows the progress.

Invariants: SYNC; the node does the work, also after the process that ordered it is gone. For a stopped home the files
of the new storage key are made here, and the node's next start does the rest.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rustorium import _native
from rustorium.access.passphrases import find_passphrase
from rustorium.errors import HomeError, NodeError, NotReady
from rustorium.home.lock import stopped
from rustorium.home.paths import Home
from rustorium.node.admin.backups import Opener, only_one
from rustorium.node.admin.remote import NO_NODE, Remote
from rustorium.node.admin.socket import call

POLL_S = 0.1
JOURNAL_NOTE = "the old storage key goes once the safety journal has moved on: with the next blocks, or the next start"


def rotate(plane: Path | Remote, progress: Callable[[int, int], None]) -> dict[str, object]:
    """Begins a rotation and waits for its end. `progress` gets the rows done and their approximate total.

    Errors: NotReady if no node runs, or if it ends meanwhile (its next start continues); NodeError."""
    call(plane, "rotate_keys")
    status = _follow(plane, progress)
    where = {"home": str(plane.parent.parent)} if isinstance(plane, Path) else {"node": plane.url}
    return {"rows": status["rows"], **where}


def replace_master(home: Home, opener: Opener, progress: Callable[[int, int], None]) -> dict[str, object]:
    """Replaces the storage key, and waits until no row is encrypted under the old one. If no node runs, the next start
    does that. `progress` gets rows, and then files. Errors: NotReady if the node ends meanwhile, NodeError, HomeError,
    KeyFileError, NativeError."""
    if home.rekey.exists():
        raise HomeError(
            f"the validator key of {home.path} is being replaced: end that by `rustorium-node node replace-key` first",
            code="rekey-unfinished",
        )
    _require_room(home)
    try:
        call(home.admin_socket, "replace_storage_key")
    except NotReady as error:
        if error.code != NO_NODE:
            raise
        _replace_files(home, opener)
        return {"home": str(home.path), "rows": 0, "state": "begun", "next": "start the node, which does the rest"}
    status = _follow(home.admin_socket, progress, until_journal=True)
    if status["running"]:
        return {"home": str(home.path), "rows": status["rows"], "state": status["step"], "next": JOURNAL_NOTE}
    return {"home": str(home.path), "rows": status["rows"], "state": "done", "next": ""}


def _require_room(home: Home) -> None:
    """Checks for free space: rows are written again before the files with the old ones are removed. Errors:
    HomeError."""
    needed = sum(_bytes_of(file) for shard in home.shards() for file in home.db_of(shard).glob("*.sst"))
    free = shutil.disk_usage(home.path).free
    if free < needed:
        raise HomeError(
            f"the disk of {home.path} has {free >> 20} MiB free, and encrypting the store again takes about "
            f"{needed >> 20} MiB for a while: free some space first",
            code="disk-full",
        )


def _bytes_of(path: Path) -> int:
    """Returns a file's size; 0 for a file that a compaction has just removed."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _replace_files(home: Home, opener: Opener) -> None:
    passphrase = find_passphrase(home.storage_key, opener.passphrase_file, opener.environment)
    # A backup under way holds the key open.
    with stopped(home), only_one(home):
        _native.StorageKey.replace(str(home.storage_key), passphrase)


def _follow(
    plane: Path | Remote, progress: Callable[[int, int], None], *, until_journal: bool = False
) -> dict[str, Any]:
    """Returns the status at the end, or once only the journal is waited for. Errors: NotReady, NodeError."""
    while (status := call(plane, "rotation"))["running"]:
        if until_journal and status["step"] in ("journal", "key"):
            break
        files = until_journal and status["step"] == "files"
        done, all_of = ("files", "files_all") if files else ("rows", "rows_about")
        progress(status[done], max(status[done], status[all_of]))
        time.sleep(POLL_S)
    if status["failed"] is not None:
        raise NodeError(f"the rotation stopped: {status['failed']}", code="rotation-failed")
    return dict(status)
