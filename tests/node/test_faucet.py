"""The devnet's faucet gives nothing to web pages, neither to those of another site nor under a rebound name."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import HTTPServer
from typing import Any

import pytest

from rustorium.net.faucet import _handler

BODY = json.dumps({"region": 0, "public_key": "00" * 32})


class Funds:
    """Counts the requests."""

    def __init__(self) -> None:
        self.funded = 0

    def fund(self, request: dict[str, Any]) -> dict[str, object]:
        self.funded += 1
        return {"address": request["public_key"]}


@pytest.fixture
def faucet() -> Iterator[tuple[Funds, int]]:
    funds = Funds()
    with HTTPServer(("127.0.0.1", 0), _handler(funds)) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield funds, server.server_port
        server.shutdown()
        thread.join()


def post(port: int, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/", BODY, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_get_nothing(faucet: tuple[Funds, int], headers: dict[str, str]) -> None:
    funds, port = faucet
    status, said = post(port, headers)
    assert (status, said["code"], funds.funded) == (403, "origin-not-allowed", 0)


def test_programs_and_its_own_pages_get_some(faucet: tuple[Funds, int]) -> None:
    funds, port = faucet
    own = f"127.0.0.1:{port}"
    for headers in ({}, {"Host": f"localhost:{port}"}, {"Host": own, "Origin": f"http://{own}"}):
        assert post(port, headers)[0] == 200, headers
    assert funds.funded == 3
