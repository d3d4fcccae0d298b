"""Repeats an action at an interval, in the foreground, until a signal ends it.

Invariants: SYNC; a failure is reported and doesn't end the repetition. A signal ends it between two runs, or interrupts
the current one.
"""

import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from rustorium._native import NativeError
from rustorium.access.private import write_private
from rustorium.errors import RustoriumError, UsageError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
EVERY_S_MAX = 365 * 86400


def parse_interval(text: str) -> int:
    """Parses `90s`, `15m`, `6h` or `1d` to seconds. Errors: UsageError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    seconds = int(found[1]) * UNITS_S[found[2]] if found is not None else 0
    if not 1 <= seconds <= EVERY_S_MAX:
        raise UsageError(f"`{text}` is not an interval: give a number and s, m, h or d, up to a year, such as 6h")
    return seconds


def every(
    interval_s: float,
    once: Callable[[], None],
    tell: Callable[[str], None],
    wait: Callable[[float], bool] | None = None,
) -> None:
    """Calls `once` now, and then at each interval counted from the start of the previous call, or late if that took
    longer. `wait` sleeps for so many seconds and returns `True` to end. SIGTERM ends it as Ctrl-C does."""
    ended = threading.Event()
    if wait is None:
        wait = ended.wait

        def end(_number: int, _frame: FrameType | None) -> None:
            ended.set()
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, end)
    while True:
        began = time.monotonic()
        try:
            once()
        except (RustoriumError, NativeError) as error:
            tell(f"failed, and is tried again in {interval_s:g} s: {error.args[0]}")
        if wait(max(0.0, interval_s - (time.monotonic() - began))):
            return


def put(path: Path, text: str) -> None:
    """Writes a file that doesn't exist yet; an identical file is left alone. Errors: UsageError, HomeError."""
    if path.exists():
        if path.read_text(encoding="utf-8") == text:
            return
        raise UsageError(f"{path} is there and differs from what is to be written: move it away, then run this again")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}: name one that is there")
    write_private(path, text)
    path.chmod(0o644)
