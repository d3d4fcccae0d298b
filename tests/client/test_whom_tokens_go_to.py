"""A client sends a token only to the endpoint for which it was given, over TLS or within this machine."""

from contextlib import suppress

import anyio
import httpx2
import pytest
import trio
from fake_net import FakeNet

from rustorium.access.netfile import Net, NetNode
from rustorium.client import AsyncClient, Client, Key
from rustorium.errors import RustoriumError, UsageError
from rustorium.net import load
from rustorium.net.probe import ask
from rustorium.types import SignedTransaction

A, B = ("rsk_0123456789abcdef_" + letter * 43 for letter in "AB")
MANY = {"https://n0": A, "https://n1/": B}
ACCOUNT = Key.generate().address


def secure(net: FakeNet) -> list[str]:
    return [url.replace("http:", "https:") for url in net.urls]


def shown(net: FakeNet) -> list[set[str | None]]:
    """Returns the authorization headers that each node received; empty if it received no request."""
    return [{request.headers.get("authorization") for request in node.requests} for node in net.nodes]


def ask_everything(client: AsyncClient) -> None:
    """Sends every kind of request, each until all nodes have refused it."""
    signed = SignedTransaction("0" * 64, b"x", "rs1", 0, 2**40)

    async def main() -> None:
        async with client:
            for work in (
                client.status,
                lambda: client.submit_transaction(signed, timeout_ms=50),
                client.subscribe_transactions(after="0.0").__anext__,
                lambda: client.account(ACCOUNT, verify=False),
            ):
                with suppress(RustoriumError, ValueError, KeyError), anyio.move_on_after(5):
                    await work()

    trio.run(main)


def test_each_node_gets_only_its_own_token() -> None:
    net = FakeNet()
    for node in net.nodes:
        node.knows_nothing = True
    client = AsyncClient(secure(net), token=MANY, transport=net.transport, timeout_s=0.5)
    ask_everything(client)
    assert shown(net) == [{f"Bearer {A}"}, {f"Bearer {B}"}, {None}]
    paths = {request.url.path for node in net.nodes for request in node.requests}
    assert paths >= {"/livez", "/v1/status", "/v1/transactions", "/v1/events", f"/v1/accounts/{ACCOUNT}"}


def test_a_second_node_does_not_get_the_first_ones_token() -> None:
    net = FakeNet(2)
    net.nodes[0].busy = True  # so that the other one is asked too
    with Client(secure(net), token={"https://N0:443": A}, transport=net.transport, timeout_s=0.5) as client:
        client.status()
    assert shown(net) == [{f"Bearer {A}"}, {None}]
    # A single token without a name belongs to a single endpoint. With two endpoints the client would have to guess.
    for make in (Client, AsyncClient):
        with pytest.raises(UsageError, match="names no endpoint, but there are 2"):
            make(secure(net), token=A, transport=net.transport)
        with pytest.raises(UsageError, match="this is not a token"):
            make(secure(net), token={"https://n0": "x"}, transport=net.transport)
    alone = FakeNet(1)
    with Client(secure(alone), token=A, transport=alone.transport) as client:
        client.status()
    assert shown(alone) == [{f"Bearer {A}"}]


def test_a_token_is_not_sent_along_a_redirect() -> None:
    seen: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(307, headers={"location": "https://attacker.example/v1/status"})

    with (
        Client("https://n0", token=A, transport=httpx2.MockTransport(handle), timeout_s=0.2) as client,
        suppress(RustoriumError),
    ):
        client.status()
    assert set(seen) == {"n0"}


@pytest.mark.parametrize(
    "url", ["http://ledger.bank.example", "http://10.0.0.7:26651", "http://n0", "http://localhost.example", "HTTP://n0"]
)
def test_no_token_leaves_the_machine_without_tls(url: str) -> None:
    for make in (Client, AsyncClient):
        with pytest.raises(UsageError, match="in the clear"):
            make(url, token=A)
        with pytest.raises(UsageError, match="in the clear"):
            make(["https://n1", url], token={url: A})
    with pytest.raises(UsageError, match="in the clear"):
        ask([url], 1.0, {url: A})


def test_tokens_stay_within_the_machine_or_go_over_tls() -> None:
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://ledger.bank.example"):
        Client(url, token=A).close()
    # A node that gets no token may be asked without TLS, as before.
    Client(["https://n0", "http://n1"], token={"https://n0": A}).close()
    Client("http://n1").close()


def test_the_load_generator_keeps_to_the_same_rule() -> None:
    def node(index: int, url: str) -> NetNode:
        return NetNode(f"node-{index}", index, "local", url, "", "", f"127.0.0.1:{index}", 0, "")

    net = Net("", "", "", "", [node(0, "http://127.0.0.1:1"), node(1, "http://10.0.0.1:1")], [])
    with pytest.raises(UsageError, match="in the clear"):
        load.run_load(net, rate_per_s=1, seconds=1, token={"http://10.0.0.1:1": A})
    with pytest.raises(UsageError, match="names no endpoint"):
        load.run_load(net, rate_per_s=1, seconds=1, token=A)
