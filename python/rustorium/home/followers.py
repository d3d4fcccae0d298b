"""The home's file `followers.json`: node keys that may follow its node, in addition to those in the configuration.

Invariants: SYNC; an unusable file admits nobody and stops a start; a change is atomic and on disk before it is
announced; there are at most `FOLLOWERS_MAX` keys.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from rustorium.config import FOLLOWERS_MAX
from rustorium.errors import HomeError, NotFound, UsageError
from rustorium.home.format import replace_file

FILE_BYTES_MAX = 64 * 1024
KEY = re.compile("[0-9a-f]{64}", re.ASCII)


def load(path: Path) -> list[str]:
    """Returns the keys in a file, an empty list if there is no file. Errors: HomeError."""
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _invalid(path, f"can't be read ({error.strerror})") from None
    try:
        keys = json.loads(content)
    except (ValueError, RecursionError):
        keys = None
    good = isinstance(keys, list) and len(keys) <= FOLLOWERS_MAX and all(_is_key(key) for key in keys)
    if len(content) > FILE_BYTES_MAX or not good:
        raise _invalid(path, "is no list of node keys")
    return list(dict.fromkeys(keys))


def parse(key: object) -> str:
    """Parses a node key into the file's spelling. Errors: UsageError."""
    found = key.lower() if isinstance(key, str) else ""
    if not _is_key(found):
        raise UsageError(f"{key} is no node key of 64 hex digits: give what `init` printed as node_key")
    return found


def add(path: Path, key: str) -> list[str]:
    """Adds a key; returns the file's keys. Errors: HomeError, UsageError."""
    keys = load(path)
    if key not in keys:
        if len(keys) >= FOLLOWERS_MAX:
            raise UsageError(f"{path} has {FOLLOWERS_MAX} keys already: remove one first")
        keys.append(key)
        _store(path, keys)
    return keys


def remove(path: Path, key: str) -> list[str]:
    """Removes a key; returns the file's keys. Errors: HomeError, NotFound."""
    keys = load(path)
    if key not in keys:
        raise NotFound(f"{path} doesn't name {key}: see `rustorium-node followers list`", code="no-such-follower")
    keys.remove(key)
    _store(path, keys)
    return keys


class AllowedFollowers:
    """The allowed keys of one home and its configuration, for its running node."""

    def __init__(self, path: Path, configured: Sequence[str]) -> None:
        """Errors: HomeError if the file isn't usable."""
        self._path, self._configured = path, list(configured)
        self._told: Callable[[list[str]], None] = lambda _: None
        load(path)

    def tell(self, told: Callable[[list[str]], None]) -> None:
        """Calls `told` with the keys at once and after every change."""
        self._told = told
        told(self.keys())

    def keys(self) -> list[str]:
        """Returns all allowed keys. Errors: HomeError."""
        return list(dict.fromkeys([*self._configured, *load(self._path)]))

    def rows(self) -> list[dict[str, object]]:
        """Returns the keys with the file that names each. Errors: HomeError."""
        named = set(self._configured)
        return [
            {"node_key": key, "named_in": "config.toml" if key in named else self._path.name} for key in self.keys()
        ]

    def change(self, change: Callable[[Path, str], list[str]], key: object) -> list[dict[str, object]]:
        """Adds or removes a key. Errors: HomeError, NotFound, UsageError."""
        change(self._path, parse(key))
        self._told(self.keys())
        return self.rows()


def _is_key(key: object) -> bool:
    return isinstance(key, str) and KEY.fullmatch(key) is not None


def _store(path: Path, keys: Sequence[str]) -> None:
    replace_file(path, (json.dumps(list(keys), indent=1) + "\n").encode())


def _invalid(path: Path, what: str) -> HomeError:
    return HomeError(
        f"{path} {what}: correct it, or remove it and name the followers again with `rustorium-node followers add`",
        code="followers-invalid",
    )
