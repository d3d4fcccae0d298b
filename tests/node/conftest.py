"""Fixtures of the tests of a node's tasks."""

from collections.abc import Callable
from typing import Any

import pytest
import trio


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that a task gives to a thread is done in the task: trio's mock clock would run on while a thread works, as
    far as the machine is busy."""

    async def inline(work: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", inline)
