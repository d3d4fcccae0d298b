"""Files whose names a user gives.

Invariants: SYNC; `create` and `write_new` never overwrite a file; what couldn't be written whole is removed.
"""

import os
import threading
from pathlib import Path
from typing import BinaryIO

from rustorium.errors import FileExists, UsageError

PUBLIC = 0o644
"""Mode of a file that everybody may read."""


def create(path: Path, mode: int = PUBLIC) -> BinaryIO:
    """Opens a new file for writing; a pipe or a device may exist. Errors: FileExists, UsageError."""
    path = path.expanduser()
    flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if path.is_file() or not path.exists():
        flags |= os.O_CREAT | os.O_EXCL
    try:
        return open(os.open(path, flags, mode), "wb")
    except FileExistsError:
        raise FileExists(path) from None
    except OSError as error:
        raise unwritable(path, error) from None


def write_new(path: Path, content: bytes) -> None:
    """Writes a new file, or into a pipe or a device. Errors: FileExists, UsageError."""
    file = create(path)
    is_new = path.expanduser().is_file()
    try:
        with file:
            file.write(content)
    except OSError as error:
        if is_new:
            path.expanduser().unlink()
        raise unwritable(path, error) from None


def replace(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Writes a file in place of the one at this path, whole and on the disk, or not at all. Errors: OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    # An earlier process of this number may have left one when it was killed.
    fresh.unlink(missing_ok=True)
    try:
        with open(os.open(fresh, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def unwritable(path: Path, error: OSError) -> UsageError:
    """Returns the error for a file that the system doesn't let be written."""
    return UsageError(f"{path} can't be written ({error.strerror}): name a file in a folder that you may write")
