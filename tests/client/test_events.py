"""The event stream continues at another node, without a gap or a duplicate."""

import json

import httpx2
import pytest
import trio
import trio.testing
from fake_net import FakeNet, receipt

from rustorium.client import AsyncClient, Key
from rustorium.client.events import Place, place
from rustorium.errors import BadResponse, NotFound, Refused, UsageError
from rustorium.types import Event


def sse(first: int, last: int, end: str = "closing", shard: str = "0.") -> bytes:
    """Returns one receipt for each height from `first` to `last`, and the end of the stream. `shard`: the prefix of
    ids."""
    text = "retry: 1000\n\n"
    for height in range(first, last + 1):
        data = json.dumps(receipt(f"{height:064x}", "rs1", height, height))
        text += f"id: {shard}{height}.0\nevent: receipt\ndata: {data}\n\n"
        text += f"id: {shard}{height}.1\nevent: position\ndata: {{}}\n\n"
    return (text + f"event: {end}\ndata: {{}}\n\n").encode()


def follow(net: FakeNet, key: Key, count: int, after: str | None) -> list[Event]:
    async def main() -> list[Event]:
        found = []
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            async for event in client.subscribe_transactions("sender:rs1", after=after):
                found.append(event)
                if len(found) == count:
                    break
        return found

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def subscribe(net: FakeNet, key: Key, filter: str | None, after: str | None) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            client.subscribe_transactions(filter, after=after)

    trio.run(main)


def test_a_stream_resumes_after_the_last_event(net: FakeNet, key: Key) -> None:
    asked: list[str] = []

    async def events(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers["last-event-id"])
        assert request.url.params["filter"] == "sender:rs1"
        first = int(asked[-1].split(".")[1]) + 1
        if len(asked) == 2:
            raise httpx2.ConnectError("gone", request=request)
        return httpx2.Response(200, content=sse(first - 1, first + 2), headers={"content-type": "text/event-stream"})

    net.events = events
    found = follow(net, key, 8, "0.5.0")
    assert [event.id for event in found] == [f"0.{height}.0" for height in range(6, 14)]
    assert [event.receipt.height for event in found] == list(range(6, 14))
    assert asked[:3] == ["0.5.0", "0.8.1", "0.8.1"]


def test_from_now_on_starts_at_the_height_of_the_subscription(net: FakeNet, key: Key) -> None:
    asked: list[str] = []

    async def events(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers["last-event-id"])
        return httpx2.Response(200, content=sse(1, 1), headers={"content-type": "text/event-stream"})

    net.events = events
    assert [event.id for event in follow(net, key, 1, None)] == ["0.1.0"]
    assert asked == [f"0.0.{2**32 - 1}"]


def test_a_bad_filter_is_refused(net: FakeNet, key: Key) -> None:
    async def events(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(400, json={"code": "bad-filter", "detail": "`x` is no filter."})

    net.events = events
    with pytest.raises(Refused, match="is no filter"):
        follow(net, key, 1, "0.0.0")


def test_a_filter_that_no_transaction_passes_is_a_mistake_of_the_caller(net: FakeNet, key: Key) -> None:
    """A stream of blocks alone has no receipts, so it would never yield anything."""
    with pytest.raises(UsageError, match="blocks are no events of transactions"):
        subscribe(net, key, "sender:rs1, blocks", None)


@pytest.mark.parametrize("after", ["", "5", "1.2.3.4"])
def test_an_id_that_is_none_is_a_mistake_of_the_caller(net: FakeNet, key: Key, after: str) -> None:
    with pytest.raises(UsageError, match=r"give shard\.height\.index"):
        subscribe(net, key, None, after)


def test_pruned_events_are_not_found(net: FakeNet, key: Key) -> None:
    async def events(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=sse(1, 0, "gone"), headers={"content-type": "text/event-stream"})

    net.events = events
    with pytest.raises(NotFound, match="no node keeps the events"):
        follow(net, key, 1, "0.1.0")


def test_an_id_names_its_shard_and_one_of_an_earlier_release_is_of_shard_0() -> None:
    assert [place(text) for text in ("3.7.1", "0.7.1", "7.1")] == [Place(3, 7, 1), Place(0, 7, 1), Place(0, 7, 1)]
    assert [str(place(text)) for text in ("3.7.1", "7.1")] == ["3.7.1", "0.7.1"]
    for text in ("", "7", "7.", ".7", "1.2.3.4", "+1.2", "1.2.-3", "1.2.x", "1.2\n", "\u0661.2", "12345678901.2.3"):
        with pytest.raises(BadResponse, match=r"give shard\.height\.index"):
            place(text)


def test_events_of_another_shard_are_followed_in_that_shard(net: FakeNet, key: Key) -> None:
    asked: list[str] = []

    async def events(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers["last-event-id"])
        return httpx2.Response(200, content=sse(6, 7, shard="3."))

    net.events = events
    found = follow(net, key, 2, "3.5.0")
    assert ([event.id for event in found], asked) == (["3.6.0", "3.7.0"], ["3.5.0"])
    assert [(event.receipt.shard, event.receipt.height) for event in found] == [(3, 6), (3, 7)]
    with pytest.raises(BadResponse, match=r"an event of shard 3 instead of shard 4: .*answer of http://n"):
        follow(net, key, 1, "4.5.0")


def test_a_node_of_an_earlier_release_is_asked_as_it_understands(net: FakeNet, key: Key) -> None:
    """The node refuses an id with a shard; the client converts the ids of its events to the new form."""
    asked: list[str] = []

    async def earlier(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers["last-event-id"])
        if asked[-1].count(".") != 1:
            return httpx2.Response(400, json={"code": "bad_event_id", "detail": "An event id is height.index."})
        first = int(asked[-1].split(".")[0]) + 1
        return httpx2.Response(200, content=sse(first, first + 1, shard=""))

    net.events = earlier
    for after in ("0.5.0", "5.0"):
        asked.clear()
        assert [event.id for event in follow(net, key, 3, after)] == ["0.6.0", "0.7.0", "0.8.0"]
        assert asked == ["0.5.0", "5.0", "0.7.1", "7.1"]
    with pytest.raises(Refused, match=r"height\.index"):
        follow(net, key, 1, "3.5.0")
