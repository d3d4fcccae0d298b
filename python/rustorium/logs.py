"""One JSON line per event, with the keys of the Rust side: ts, level, target, event, node, shard, height, view, peer.

Invariants: the Rust side writes the lines of both languages to one file and bounds its size; no secret is logged; a
step writes no line.
"""

import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from rustorium import _native
from rustorium.logsection import LogSection

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
Logger = structlog.typing.FilteringBoundLogger


def configure(path: Path | None, section: LogSection, node: str) -> Logger:
    """Sends both languages' events at or above the section's level to `path` (appending), or to standard error. Returns
    the node's logger. Works once a process. Errors: NativeError if the file can't be opened."""
    level = section.level
    _native.tracing_init(
        str(path) if path is not None else None, level, node, bytes_max=section.bytes_max, files_max=section.files_max
    )
    stream = sys.stderr if path is None else cast(TextIO, _Lines())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _keys,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logger: Logger = structlog.get_logger(node=node)
    return logger


class _Lines:
    """The log file of the Rust side. Write errors are ignored, because a full disk must not stop the node."""

    def write(self, text: str) -> None:
        _native.tracing_write(text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Does nothing: nothing is buffered."""


def _keys(_logger: object, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Puts the shared keys first, in one order; `ts` in Unix milliseconds."""
    level = {"warning": "warn", "exception": "error", "critical": "error"}.get(method, method)
    head = {
        "ts": time.time_ns() // 1_000_000,
        "level": level,
        "target": event.pop("target", "rustorium.node"),
        "event": event.pop("event"),
    }
    return head | {key: value for key, value in event.items() if value is not None}
