"""The event loop of a blocking client, in its own thread.

Invariants: the loop ends by `close`, when nothing refers to its owner any more, or when the interpreter ends, whichever
is first; the thread refers to the asynchronous client and never to the owner.
"""

import atexit
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from rustorium.errors import UsageError

T = TypeVar("T")

INTERRUPTED_S_MAX = 1.0
"""Maximum time that an interrupted call waits for the end of what it began."""
CLOSE_S_MAX = 5.0
"""Maximum time that the end of the interpreter waits for connections to close."""


class LoopThread:
    """A thread with one event loop, usable from any other thread."""

    def __init__(self) -> None:
        self._process = os.getpid()
        started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(target=_run, args=(started,), daemon=True, name="rustorium-client")
        self._thread.start()
        self._portal = started.result()
        self._open = True
        self._turn = threading.Lock()
        self._aclose: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._name = ""
        _running.add(self)

    def closes(self, aclose: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Sets the function that is awaited before the loop ends, and its owner's name for the warning."""
        self._aclose, self._name = aclose, name

    @property
    def usable(self) -> bool:
        """`False` after `close`, and in a forked process, in which the thread doesn't exist."""
        return self._open and self._process == os.getpid()

    def make(self, maker: Callable[[], T]) -> T:
        """Calls a function on the loop's thread and returns its result."""
        return self._portal.call(maker)

    def call(self, method: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, **named: Any) -> T:
        """Runs a coroutine function on the loop, and cancels it if the caller is interrupted.

        Errors: those of `method`; UsageError after `close`, also of another thread."""
        if not self._open:
            raise UsageError("the client is closed: make another one")
        if self._process != os.getpid():
            raise UsageError("the client was made before this process was forked: make one in each process")
        ended = threading.Event()

        async def run() -> T:
            try:
                return await method(*arguments, **named)
            finally:
                ended.set()

        future = self._portal.start_task_soon(run)
        try:
            return future.result()
        except BaseException as error:
            if isinstance(error, CancelledError) and not self._open:
                raise UsageError(
                    "the client was closed before this call ended: what it sent may still take effect"
                ) from None
            if future.cancel():
                # The caller was interrupted (Ctrl-C): what it waited for must not go on beside what it does next.
                ended.wait(INTERRUPTED_S_MAX)
            raise

    def close(self, seconds: float | None = None) -> None:
        """Closes connections and ends the thread; idempotent. Stops waiting after `seconds`, if given."""
        with self._turn:
            if not self._open:
                return
            self._open = False
        _running.discard(self)
        if self._process != os.getpid():
            return
        try:
            if self._aclose is not None:
                self._portal.start_task_soon(self._aclose).result(seconds)
        except TimeoutError:
            pass  # the connections end with the process
        finally:
            self._portal.start_task_soon(self._portal.stop, True)
            self._thread.join(seconds)

    def forgotten(self) -> None:
        """Warns, and closes the loop from another thread: the garbage collector can run on any thread, also on the
        loop's."""
        if self.usable:
            self._warn()
            threading.Thread(target=self.close, daemon=True, name="client-close").start()

    def interpreter_ends(self) -> None:
        """Warns, and closes the loop within `CLOSE_S_MAX`."""
        if self.usable:
            self._warn()
            self.close(CLOSE_S_MAX)

    def _warn(self) -> None:
        message = f"the client of {self._name} was not closed: use `with`, or call close()"
        warnings.warn(message, ResourceWarning, stacklevel=2, source=self)


def _run(started: "Future[BlockingPortal]") -> None:
    async def serve() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    anyio.run(serve, backend="asyncio")


_running: weakref.WeakSet[LoopThread] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for loop in list(_running):
        loop.interpreter_ends()
