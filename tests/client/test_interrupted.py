"""What a blocking client does when its caller is interrupted, or when another thread closes it."""

import subprocess
import sys
import threading

import anyio
import pytest

from rustorium.client.loop import LoopThread
from rustorium.errors import UsageError

DEADLINE_S = 60.0
SCRIPT = """
import os, signal, threading
import anyio
from rustorium.client.loop import LoopThread
loop, left = LoopThread(), threading.Event()

async def numbers():
    yield 1
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()
    finally:
        left.set()

found = numbers()
print(loop.call(found.__anext__))
try:
    loop.call(found.__anext__)
except KeyboardInterrupt:
    print("interrupted", left.is_set())
loop.call(found.aclose)
loop.close()
print("closed")
"""


def test_an_interrupted_call_ends_what_it_began() -> None:
    """A script, since only a process's first thread is interrupted."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\ninterrupted True\nclosed\n", "")


def test_a_call_of_another_thread_is_told_that_the_client_was_closed() -> None:
    loop, begun, told = LoopThread(), threading.Event(), list[BaseException]()

    async def endless() -> None:
        begun.set()
        await anyio.sleep_forever()

    def wait() -> None:
        with pytest.raises(UsageError) as caught:
            loop.call(endless)
        told.append(caught.value)

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(DEADLINE_S)
    loop.close()
    thread.join(DEADLINE_S)
    [error] = told
    assert "closed before this call ended: what it sent may still take effect" in str(error)
