"""A home's tokens as its running node has them: what the file says now, and who is told of it.

Invariants: a file that isn't usable lets nobody in, and what was known before it doesn't count; a change by anybody is
known at the next question, and to the gateway within a look.
"""

from collections.abc import Callable
from pathlib import Path

import trio

from rustorium.errors import HomeError
from rustorium.home.tokens import Token, authenticate, for_gateway, load

LOOK_S = 1.0

Seen = tuple[int, int, int, int] | None


class Keyring:
    """The tokens of one home. `told` gets what the gateway needs, whenever that may have changed."""

    def __init__(self, path: Path) -> None:
        """Errors: HomeError where the file isn't usable: a node doesn't start so."""
        self.path = path
        self.fault: HomeError | None = None
        self._told: Callable[[str], None] = lambda _: None
        self._seen = _seen(path)
        self._keep(load(path))

    def tell(self, told: Callable[[str], None]) -> None:
        """From now on tells this one, and at once."""
        self._told = told
        told(for_gateway(self.tokens))

    def refresh(self) -> None:
        """Reads the file where it isn't what it was."""
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
        """Whose token this is. Errors: AccessRefused, HomeError where the file isn't usable."""
        self.refresh()
        if self.fault is not None:
            raise self.fault
        return authenticate(self._by_id, text, now_ms)

    async def watch(self, faulty: Callable[[HomeError], None]) -> None:
        """Looks until cancelled; tells a fault when it comes."""
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
