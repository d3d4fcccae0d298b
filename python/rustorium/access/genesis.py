"""The genesis file of a net, as JSON on disk.

Invariants: SYNC; only the extension validates it.
"""

import json
from pathlib import Path

from rustorium.access.private import read_text
from rustorium.errors import HomeError, HomeMissing


def read_genesis(path: Path) -> bytes:
    """Returns the canonical bytes of a genesis file (JSON). Errors: HomeMissing, HomeError that says what is wrong in
    it."""
    from rustorium import _native

    if not path.exists():
        raise HomeMissing(_missing(path))
    try:
        return _native.genesis_encode(read_text(path))
    except ValueError as error:
        raise HomeError(f"{path} is not a genesis: {_instead(path) or error}", code="genesis-invalid") from None


def encoded_genesis(content: bytes) -> bytes:
    """Returns the canonical bytes of a genesis that is given so, or as the JSON of its file. Errors: HomeError."""
    from rustorium import _native

    try:
        if content.lstrip().startswith(b"{"):
            return _native.genesis_encode(content.decode())
        _native.genesis_hash(content)
    except ValueError as error:
        raise HomeError(f"the content is not a genesis: {error}", code="genesis-invalid") from None
    return content


def _instead(path: Path) -> str | None:
    """Returns what to give where a devnet's net file was given; `None` for other files."""
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return None
    named = found.get("genesis") if isinstance(found, dict) and "nodes" in found else None
    return f"it is a net file, which names {named}: give that" if isinstance(named, str) else None


def _missing(path: Path) -> str:
    if not (path.parent / "config.toml").is_file():
        return f"there is no genesis file {path}: name the chain's genesis file"
    return (
        f"{path} is missing: put the genesis of this node's chain there, from another party or another node; "
        f"keep {path.parent} as it is"
    )
