"""Progress of a long build: one line every few seconds, on the terminal if the build has one.

pip keeps what a build backend prints until the end, unless `-v` is given. The controlling terminal is another way out.
Without one, as in a container's build, the lines go to stderr, where pip shows them only with `-v`.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO

INTERVAL_S = 3.0
INTERVAL_OF_LOGS_S = 10.0
"""The interval if there is no terminal, so that the lines stay few in a log."""
BAR = re.compile(rb"\s*(\w+) \[[=> ]*\] (\d+)/(\d+)(?:: (.*))?")
"""A progress bar of cargo."""


def _terminal() -> TextIO | None:
    """The controlling terminal, if this process may write to it; `None` in the background and without one."""
    try:
        terminal = open("/dev/tty", "w")  # noqa: SIM115  (open as long as the build runs)
    except OSError:
        return None
    try:
        if os.tcgetpgrp(terminal.fileno()) == os.getpgrp():
            return terminal
    except OSError:
        pass
    terminal.close()
    return None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


class Progress:
    """Lines that begin with `rustorium:` and end with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = _terminal()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Prints one line. A terminal that went away is ignored: progress is no reason to fail."""
        line = f"rustorium: {text} ({_duration(time.monotonic() - self._began)} so far)"
        with self._lock:
            if self._terminal is None:
                print(line, file=sys.stderr, flush=True)
                return
            try:
                # pip draws its spinner on the same line, which is cleared first.
                print(f"\r\x1b[K{line}", file=self._terminal, flush=True)
            except OSError:
                self._terminal = None

    @contextmanager
    def repeated(self, text: Callable[[], str]) -> Iterator[None]:
        """Prints `text()` every few seconds until the block ends."""
        ended = threading.Event()

        def repeat() -> None:
            while not ended.wait(INTERVAL_OF_LOGS_S if self._terminal is None else INTERVAL_S):
                self.say(text())

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class CargoOutput:
    """Reads cargo's stderr: passes lines on, and keeps what the newest progress bar says."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source, self._target = source, target
        self._newest = "starting cargo"

    def text(self) -> str:
        """Returns cargo's progress, in words."""
        return self._newest

    def read(self) -> None:
        """Reads to the end."""
        waiting = b""
        while chunk := self._source.read(4096):
            *pieces, waiting = re.split(rb"(?<=[\r\n])", waiting + chunk)
            for piece in pieces:
                self._take(piece)
        self._take(waiting)

    def _take(self, piece: bytes) -> None:
        bar = BAR.match(re.sub(rb"\x1b\[[\d;]*[A-Za-z]", b"", piece))
        if bar is None:
            if piece.strip():
                self._target.write(piece)
                self._target.flush()
            return
        what = {b"Building": "compiling Rust", b"Downloading": "downloading crates"}.get(
            bar[1], bar[1].decode().lower()
        )
        names = f": {bar[4].decode(errors='replace').strip()[:60]}" if bar[4] else ""
        self._newest = f"{what}, {bar[2].decode()} of {bar[3].decode()}{names}"


@contextmanager
def cargo_watched(progress: Progress) -> Iterator[None]:
    """Prints how far cargo is, every few seconds, while the block runs a program that runs cargo."""
    os.environ |= {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "120"}
    sys.stderr.flush()
    original = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as source, os.fdopen(original, "wb") as target:
        output = CargoOutput(source, target)  # type: ignore[arg-type]
        reader = threading.Thread(target=output.read, daemon=True)
        reader.start()
        try:
            with progress.repeated(output.text):
                yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            reader.join(timeout=10)
