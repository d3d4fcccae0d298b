"""Folders and files that only their owner may read.

Invariants: SYNC; folders are 0700 and files 0600; nothing is overwritten; a secret is never logged. Windows has no such
modes: there a file has the access rights of its folder.
"""

import os
import sys
from pathlib import Path
from typing import IO

from rustorium.errors import FileExists, HomeError, HomeMissing


def make_folder(path: Path) -> None:
    """Makes a folder that only its owner can read. Errors: HomeError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"the folder {path} can't be made ({error.strerror}): choose another place") from None


def write_private(path: Path, text: str) -> None:
    """Writes a new file of mode 0600. Errors: FileExists, HomeError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FileExists(path) from None
    except OSError as error:
        raise HomeError(f"{path} can't be written ({error.strerror}): free space or choose another place") from None


def read_text(path: Path) -> str:
    """Returns a file's text. Errors: HomeMissing, HomeError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise HomeMissing(f"there is no file {path}: name one that is there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise HomeError(f"{path} can't be read ({error}): check its owner and mode") from None


def lock_now(file: IO[bytes]) -> None:
    """Locks a file against other processes until it is closed. Errors: OSError if another process has locked it."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 30)  # a byte beyond the end: on Windows a locked range can't be read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sync_folder(path: Path) -> None:
    """Flushes a folder's list of files to the disk, if the system supports it. Errors: OSError."""
    if sys.platform != "win32":
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
