"""New files whose names a user gives.

Invariants: SYNC; a file that exists is never overwritten; one that couldn't be written whole is removed.
"""

import os
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


def unwritable(path: Path, error: OSError) -> UsageError:
    """Returns the error for a file that the system doesn't let be written."""
    return UsageError(f"{path} can't be written ({error.strerror}): name a file in a folder that you may write")
