"""Reports the state of a process to systemd (sd_notify): ready, its status, and that it is alive.

Invariants: without a socket in the environment the notifier does nothing. A report never delays the process, and a
socket that is gone never ends it.
"""

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

import trio

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables that a child must not inherit: only one process reports for the service."""
PERIOD_S = 10.0
STATUS_CHARACTERS_MAX = 200


class Notifier:
    """Reports for this process to the service manager that started it, if one did."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watched = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        self._watchdog_s = int(watched) / 1e6 if ours and watched.isascii() and watched.isdigit() else 0.0
        self._told = ""

    @property
    def enabled(self) -> bool:
        """`True` if there is a service manager."""
        return self._address.startswith(("/", "@"))

    @property
    def period_s(self) -> float:
        """The interval between reports: a third of the time after which silence counts as death."""
        return min(PERIOD_S, self._watchdog_s / 3) if self._watchdog_s else PERIOD_S

    async def run(
        self, up: Callable[[], bool], status: Callable[[], str], alive: Callable[[], bool] = lambda: True
    ) -> None:
        """Reports until cancelled. Before the process is `up`, it asks for more time, however long the start takes.
        While it isn't `alive`, the watchdog of the service manager hears nothing."""
        if not self.enabled:
            return
        ready = False
        while True:
            lines = [] if ready else [f"EXTEND_TIMEOUT_USEC={round(3 * self.period_s * 1e6)}"]
            if not ready and up():
                ready, lines = True, ["READY=1"]
            if self._watchdog_s and alive():
                lines.append("WATCHDOG=1")
            text = " ".join(status().split())[:STATUS_CHARACTERS_MAX]
            if text != self._told:
                self._told = text
                lines.append(f"STATUS={text}")
            self._send(lines)
            await trio.sleep(self.period_s if ready else min(1.0, self.period_s))

    def stopping(self) -> None:
        """Reports that the process is shutting down."""
        if self.enabled:
            self._send(["STOPPING=1"])

    def _send(self, lines: list[str]) -> None:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), address)
