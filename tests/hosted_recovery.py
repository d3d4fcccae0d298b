"""`recover auto` for a node of several shards, which no command starts yet: `python hosted_recovery.py HOME SHARD…`."""

import os
import sys
from pathlib import Path

import trio

from rustorium.home.paths import Home
from rustorium.logs import configure
from rustorium.node.recovery.auto import Recovery, SupervisorOptions

PROGRAM = Path(__file__).with_name("hosted_shards.py")


class HostedRecovery(Recovery):
    """A supervisor whose node hosts several shards."""

    shards: list[str]

    def _command(self, stop_fd: int) -> list[str]:
        return [sys.executable, str(PROGRAM), str(self._home.path), *self.shards, f"--stop-fd={stop_fd}"]


def main() -> None:
    home = Home(Path(sys.argv[1]))
    HostedRecovery.shards = sys.argv[2:]
    config = home.load_config(os.environ).config
    log = configure(home.path / "log" / "recovery.jsonl", config.log, config.node.name)
    trio.run(HostedRecovery(SupervisorOptions(home, config, None, os.environ), log).run)


if __name__ == "__main__":
    main()
