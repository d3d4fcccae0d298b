"""The genesis file of a net, as JSON on disk.

Invariants: SYNC; only the extension validates it.
"""

from pathlib import Path

from rustorium.access.private import read_text
from rustorium.errors import HomeError


def read_genesis(path: Path) -> bytes:
    """Returns the canonical bytes of a genesis file (JSON). Errors: HomeMissing, HomeError that says what is wrong in
    it."""
    from rustorium import _native

    try:
        return _native.genesis_encode(read_text(path))
    except ValueError as error:
        raise HomeError(f"{path} is not a genesis: {error}", code="genesis-invalid") from None
