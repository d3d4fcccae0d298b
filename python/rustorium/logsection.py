"""The section [log] of a node's configuration.

Invariants: PURE.
"""

import typing
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogSection:
    """[log]"""

    level: typing.Literal["debug", "info", "warn", "error"] = "info"
    file: str = "log/node.jsonl"
    """Relative to the home; empty: standard error."""
    bytes_max: int = 64 * 1024 * 1024
    """Size at which the log is renamed to FILE.1 and a new one begins; 0: it grows without limit."""
    files_max: int = 4
    """Maximum number of files that are put aside, FILE.1 being the newest; the oldest is deleted."""
    core_inputs_bytes_max: int = 64 * 1024 * 1024
    """Maximum size of the log of consensus inputs in log/inputs; 0: no such log."""

    def __post_init__(self) -> None:
        for name in ("bytes_max", "core_inputs_bytes_max"):
            if getattr(self, name) != 0 and getattr(self, name) < 1024 * 1024:
                raise ValueError(f"{name} must be 0 or at least 1048576")
        if not 0 <= self.files_max <= 1000:
            raise ValueError("files_max must be 0 to 1000")
