"""Audit lines about a node's configuration and refused peers: one line for each, and a bounded number."""

import json
import math
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from rustorium.home.auditlog import log_of
from rustorium.home.paths import Home
from rustorium.node.loop.auditing import (
    LOOK_S,
    PERIOD_S_MAX,
    SETTINGS_BYTES_MAX,
    Refusals,
    configuration_change,
    denial_counts,
    own_metrics,
    record_refusals,
    refusal_counts,
)

DAY_S = 24 * 3600


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    log_of(home).parent.mkdir()
    return home


def write(home: Home, fields: dict[str, object], event: str = "configuration") -> None:
    with open(log_of(home), "a") as file:
        file.write(json.dumps({"seq": 1, "ts_ms": 1, "event": event, "fields": fields}) + "\n")


def test_a_configuration_is_written_down_when_it_changes(home: Home) -> None:
    settings: dict[str, object] = {"p2p.listen": "a:1", "p2p.peers": {"b": "b:2"}}
    first = configuration_change(home, settings)
    assert first is not None
    assert (first["changed"], first["settings"]) == (["p2p.listen", "p2p.peers"], settings)
    write(home, first)
    write(home, {"addresses": {}}, "node started")
    assert configuration_change(home, dict(reversed(settings.items()))) is None
    second = configuration_change(home, {"p2p.listen": "a:3", "log.level": "debug", "p2p.peers": {"b": "b:2"}})
    assert second is not None
    assert second["changed"] == ["log.level", "p2p.listen"]
    write(home, second)
    third = configuration_change(home, settings)
    assert third is not None, "it is another than the last, though it was there before"
    write(home, {"sha256": 7})
    assert configuration_change(home, settings) is not None, "whatever somebody wrote there"


def test_a_configuration_too_long_for_a_line_is_recorded_by_its_hash(home: Home) -> None:
    settings = {"p2p.peers": {f"node-{number}": "x" * 60 for number in range(SETTINGS_BYTES_MAX // 60)}}
    fields = configuration_change(home, settings)
    assert fields is not None
    assert fields["settings"] is None
    assert len(json.dumps(fields)) < SETTINGS_BYTES_MAX
    write(home, fields)
    assert configuration_change(home, settings) is None


def test_a_flood_of_refusals_is_a_few_lines_a_day() -> None:
    refusals, lines, told = Refusals(), 0, 0
    for look in range(1, int(DAY_S // LOOK_S)):
        fields = refusals.take({"handshake": 1_000_000 * look, "too-many": 7}, look * LOOK_S)
        if fields is not None:
            lines += 1
            told += fields["refused"]["handshake"]  # type: ignore[index]
    assert lines <= math.log2(PERIOD_S_MAX / LOOK_S) + 2 + DAY_S / PERIOD_S_MAX
    assert told > 0.9 * 1_000_000 * (DAY_S // LOOK_S), "all are counted, whenever it is said"


def test_rare_refusals_are_each_recorded() -> None:
    refusals = Refusals()
    assert refusals.take({}, 60) is None
    assert refusals.take({"wrong-chain": 1}, 120) == {"refused": {"wrong-chain": 1}, "total": 1}
    assert refusals.take({"wrong-chain": 1}, 180) is None
    later = 180 + 2 * PERIOD_S_MAX
    assert refusals.take({"wrong-chain": 1}, later) is None
    assert refusals.take({"wrong-chain": 1, "handshake": 2}, later + 60) == {"refused": {"handshake": 2}, "total": 3}
    assert refusals.take({"wrong-chain": 2, "handshake": 2}, later + 120) == {"refused": {"wrong-chain": 1}, "total": 4}


METRICS = b"""# TYPE rustorium_transport_refusals counter
rustorium_transport_refusals_total{reason="wrong-chain"} %d
rustorium_transport_refusals_total{reason="by-peer"} 9
rustorium_transport_peers 3
rustorium_gateway_unauthorized_total{face="http",reason="token-missing"} 7
rustorium_gateway_unauthorized_total{face="http",reason="token-scope"} 0
rustorium_gateway_unauthorized_total{face="quic",reason="token-expired"} 2
"""


def test_a_nodes_refusals_are_read_from_its_metrics() -> None:
    assert refusal_counts(METRICS % 4) == {"wrong-chain": 4}
    assert denial_counts(METRICS % 4) == {"http token-missing": 7, "quic token-expired": 2}
    with pytest.raises(ValueError, match="invalid literal"):
        refusal_counts(METRICS.replace(b"%d", b"many"))


class FakeNode:
    def __init__(self, address: str) -> None:
        self.address, self.lines = address, list[tuple[str, dict[str, object]]]()

    def addresses(self) -> dict[str, str]:
        return {"metrics": self.address}

    def audit(self, event: str, fields_json: str) -> None:
        self.lines.append((event, json.loads(fields_json)))


@pytest.mark.usefixtures("no_threads")
def test_auditing_continues_without_metrics_and_writes_in_time() -> None:
    answers = [METRICS % 4, b"", METRICS % 4, METRICS % 6]
    at_s: list[float] = []

    async def main() -> None:
        began = trio.current_time()

        async def metrics(_: object) -> bytes:
            at_s.append(trio.current_time() - began)
            answer = answers[min(len(at_s), len(answers)) - 1]
            if not answer:
                raise ValueError("the metrics endpoint answers 503")
            return answer

        node = FakeNode("")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record_refusals, node, structlog.get_logger(), metrics)
            while len(node.lines) < 3:  # noqa: ASYNC110
                await trio.sleep(LOOK_S)
            nursery.cancel_scope.cancel()
        assert node.lines == [
            ("peers refused", {"refused": {"wrong-chain": 4}, "total": 4}),
            ("clients refused", {"refused": {"http token-missing": 7, "quic token-expired": 2}, "total": 9}),
            ("peers refused", {"refused": {"wrong-chain": 2}, "total": 6}),
        ]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert at_s[:4] == [LOOK_S, 2 * LOOK_S, 3 * LOOK_S, 4 * LOOK_S]


@pytest.mark.parametrize("status", ["200 OK", "503 busy"])
def test_a_node_reads_its_own_metrics_endpoint(status: str) -> None:
    async def main() -> None:
        async def serve(stream: trio.SocketStream) -> None:
            assert (await stream.receive_some(4096)).startswith(b"GET /metrics HTTP/1.1\r\n")
            await stream.send_all(f"HTTP/1.1 {status}\r\n\r\n".encode() + METRICS % 4)
            await stream.aclose()

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            node = FakeNode(f"127.0.0.1:{listeners[0].socket.getsockname()[1]}")
            if status.startswith("200"):
                assert await own_metrics(node) == METRICS % 4
            else:
                with pytest.raises(ValueError, match=r"answers b'HTTP/1\.1 503"):
                    await own_metrics(node)
            nursery.cancel_scope.cancel()

    trio.run(main)
