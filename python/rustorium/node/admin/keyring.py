"""A home's tokens as its running node knows them: the current content of the file, and the listener for changes.

Invariants: with an unusable file no token is valid, not even earlier ones. A change by anybody counts at the next call,
and at the gateway within `LOOK_S`.
"""

from collections.abc import Callable
from pathlib import Path

import trio

from rustorium.errors import HomeError
from rustorium.home.tokens import Token, authenticate, for_gateway, load

LOOK_S = 1.0

Seen = tuple[int, int, int, int] | None


class Keyring:
    """The tokens of one home. `told` gets the gateway's part whenever it may have changed."""

    def __init__(self, path: Path) -> None:
        """Reads the tokens. Errors: HomeError if the file isn't usable: then a node doesn't start."""
        self.path = path
        self.fault: HomeError | None = None
        self._told: Callable[[str], None] = lambda _: None
        self._seen = _seen(path)
        self._keep(load(path))

    def tell(self, told: Callable[[str], None]) -> None:
        """Sets the listener for changes, and calls it at once."""
        self._told = told
        told(for_gateway(self.tokens))

    def refresh(self) -> None:
        """Reads the file if it has changed."""
        seen = _seen(self.path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keep(load(self.path))
            self.fault = None
        except HomeError as error:
            self.fault = error
            self._keep(())
        self._told(for_gateway(self.tokens))

    def check(self, text: str | None, now_ms: int) -> Token:
        """Returns the token with this text. Errors: AccessRefused, HomeError if the file isn't usable."""
        self.refresh()
        if self.fault is not None:
            raise self.fault
        return authenticate(self._by_id, text, now_ms)

    async def watch(self, faulty: Callable[[HomeError], None]) -> None:
        """Checks the file periodically until cancelled; reports a new fault."""
        while True:
            before = self.fault
            self.refresh()
            if self.fault is not None and self.fault is not before:
                faulty(self.fault)
            await trio.sleep(LOOK_S)

    def _keep(self, tokens: tuple[Token, ...]) -> None:
        self.tokens = tokens
        self._by_id = {token.id: token for token in tokens}


def _seen(path: Path) -> Seen:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
