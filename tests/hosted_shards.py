"""A node of several shards as a process, which no command starts yet: `python hosted_shards.py HOME SHARD…`. With
`--stop-fd=N` it ends once the other end of that pipe is closed.

If the file `fault-SHARD` is in the home, the core of that shard faults, and the file is removed. While the file
`hang-SHARD` is there, the core of that shard hangs in its turn.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from rustorium.consensus.vocabulary import Input
from rustorium.home.paths import Home
from rustorium.node.loop import hosts
from rustorium.node.loop.driver import Driver
from rustorium.node.loop.launch import prepare
from rustorium.node.loop.supervisor import Descriptors, run

SHARD = 7
"""The shard beside the root in tests."""


class FaultyDriver(Driver):
    """A driver whose core faults on request."""

    home: Path

    def _take(self, now: int, inputs: list[Input]) -> None:
        shard = getattr(self._port, "shard", None)
        request = self.home / f"fault-{shard}"
        if request.exists():
            request.unlink()
            raise RuntimeError("a test asks for a fault")
        while (self.home / f"hang-{shard}").exists():
            pass
        super()._take(now, inputs)


def main() -> None:
    home = Home(Path(sys.argv[1]))
    launch = prepare(home, home.load_config(os.environ), None, os.environ)
    stop = [int(given.removeprefix("--stop-fd=")) for given in sys.argv[2:] if given.startswith("--stop-fd=")]
    shards = [int(given) for given in sys.argv[2:] if not given.startswith("--")]
    settings = json.loads(launch.native_config) | {"shards": shards}
    FaultyDriver.home = home.path
    hosts.Driver = FaultyDriver  # type: ignore[misc]
    run(replace(launch, native_config=json.dumps(settings)), Descriptors(stop=stop[0] if stop else None))


if __name__ == "__main__":
    main()
