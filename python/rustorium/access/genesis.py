"""The genesis file of a net, as JSON on disk.

Invariants: SYNC; what is wrong in it, the extension says.
"""

from pathlib import Path

from rustorium.access.private import read_text
from rustorium.errors import HomeError


def read_genesis(path: Path) -> bytes:
    """Canonical bytes of a genesis file (JSON). Errors: HomeMissing, HomeError with what is wrong in it."""
    from rustorium import _native

    try:
        return _native.genesis_encode(read_text(path))
    except ValueError as error:
        raise HomeError(f"{path} is not a genesis: {error}", code="genesis-invalid") from None
