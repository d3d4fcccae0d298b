"""Asks many nodes for their metrics at once, each within a time limit and a size limit.

Invariants: a node that doesn't answer, or answers wrongly, gets a result of its own and delays no other node.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx2

from rustorium.access.causes import cause_of
from rustorium.access.netfile import Net
from rustorium.errors import BadResponse, RustoriumError, UsageError
from rustorium.observe.exposition import BYTES_MAX, ExpositionError, Family, parse

THREADS = 64
NODES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Target:
    """A node's metrics endpoint."""

    name: str
    url: str
    region: str = ""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One node's answer, or the reason why it is missing."""

    node: str
    at_ms: int
    """Unix time of the asking machine, at the answer's end."""
    took_ms: int
    families: dict[str, Family]
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


def targets_of(net: Net | None, urls: Sequence[str]) -> list[Target]:
    """Returns the nodes of a `devnet.json`, or those behind URLs of metrics endpoints. Errors: UsageError."""
    if urls:
        found = [_target(url) for url in urls]
    elif net is not None:
        found = [Target(node.name, node.metrics, node.region) for node in net.nodes]
    else:
        raise UsageError("no net is named: give --net devnet.json, or --node with the URL of each node's metrics")
    if len({target.name for target in found}) != len(found):
        raise UsageError("a node is named twice: name each once")
    if len(found) > NODES_MAX:
        raise UsageError(f"more than {NODES_MAX} nodes: name fewer")
    return found


def _target(url: str) -> Target:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{url!r} is not the URL of a node's metrics: give one such as http://127.0.0.1:26660")
    return Target(parts.netloc, f"{parts.scheme}://{parts.netloc}")


class Scraper:
    """Asks the same nodes repeatedly over persistent connections; a context manager."""

    def __init__(
        self,
        targets: Sequence[Target],
        timeout_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.targets = list(targets)
        self._timeout_s, self._clock, self._wall_ms = timeout_s, clock, wall_ms
        self._client = httpx2.Client(verify=False, trust_env=False, timeout=timeout_s)
        self._pool = ThreadPoolExecutor(max_workers=min(THREADS, len(self.targets)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def scrape(self) -> list[Scrape]:
        """Returns each node's answer, in the order of the targets."""
        return list(self._pool.map(self._one, self.targets))

    def fetch(self, place: int) -> bytes:
        """Returns the text of one target, unparsed. Errors: BadResponse, httpx2.HTTPError, OSError."""
        return self._fetch(self.targets[place].url)

    def _one(self, target: Target) -> Scrape:
        start, families, error = self._clock(), dict[str, Family](), ""
        try:
            families = parse(self._fetch(target.url))
        except ExpositionError as wrong:
            error = f"answers wrongly: {wrong.message}"
        except (httpx2.HTTPError, OSError, ValueError, RustoriumError) as silent:
            error = f"doesn't answer ({cause_of(silent, self._timeout_s)})"
        took_ms = round((self._clock() - start) * 1000)
        return Scrape(target.name, self._wall_ms(), took_ms, families, error)

    def _fetch(self, url: str) -> bytes:
        deadline, parts, size = self._clock() + self._timeout_s, list[bytes](), 0
        with self._client.stream("GET", f"{url}/metrics") as answer:
            if answer.status_code != 200:
                raise BadResponse(f"status {answer.status_code}: is that the URL of its metrics?")
            for part in answer.iter_bytes():
                size += len(part)
                if size > BYTES_MAX:
                    raise ExpositionError(f"the metrics are longer than {BYTES_MAX} bytes")
                if self._clock() > deadline:
                    raise BadResponse(f"its answer took longer than {self._timeout_s:g} s")
                parts.append(part)
        return b"".join(parts)
