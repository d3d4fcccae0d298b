"""An event stream from a node that sends arbitrary bytes, in chunks of arbitrary lengths."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from rustorium.client.events import EventStream, _Link
from rustorium.client.transport import Transport


class Answer:
    """The parts of a response that the stream reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._content), 100):
            yield self._content[at : at + 100]


def stream_bytes(receipt: Mapping[str, object]) -> bytes:
    """A stream of three events and a comment."""
    frames = [f"event: receipt\nid: {height}.0\ndata: {json.dumps(receipt)}\n\n" for height in (1, 2)]
    return "".join([": alive\n\n", *frames, "event: height\nid: 3.0\ndata: {}\n\n"]).encode()


def read_stream(content: bytes) -> int:
    """Reads all events of the stream; returns their number. Errors: those of the stream."""
    stream = EventStream(cast(Transport, None), "", "0.0")
    link = _Link(cast(Any, Answer(content)), "http://n0")

    async def main() -> int:
        seen = 0
        while (found := await link.next()) is not None:
            seen += stream._take(found) is not None
        return seen

    steps = main()
    try:
        steps.send(None)  # it never waits
    except StopIteration as ended:
        return int(ended.value)
    raise AssertionError("it waits for something")
