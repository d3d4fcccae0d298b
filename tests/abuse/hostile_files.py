"""Files that tests write thousands of times."""

import os
from pathlib import Path


def put(path: Path, content: bytes) -> None:
    """Writes a new file (0600). A new file is faster than a truncated one: ext4 syncs a file that is truncated and
    filled again, which takes milliseconds."""
    path.unlink(missing_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
