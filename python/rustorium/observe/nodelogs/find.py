"""Finds the logs of nodes: by a net's file, by homes, or named one by one.

Invariants: each log has a name of its own.
"""

from collections.abc import Sequence
from pathlib import Path

from rustorium.access.netfile import Net
from rustorium.errors import UsageError
from rustorium.home.paths import Home

LOGS_MAX = 256


def find_logs(net: Net | None, paths: Sequence[Path], wanted: frozenset[str] | None) -> list[tuple[str, Path]]:
    """Returns name and file of each log; `wanted`: names that must be among them.

    Errors: UsageError, HomeError, ConfigError."""
    if paths:
        found = [_named(path.expanduser()) for path in paths]
    elif net is not None:
        found = [(node.name, _of_home(Home(Path(node.home)))) for node in net.nodes]
    else:
        raise UsageError("no logs are named: give --net devnet.json, or log files or homes of nodes")
    names = [name for name, _ in found]
    if len(set(names)) != len(names):
        found = [(str(path), path) for _, path in found]
    if len({path.absolute() for _, path in found}) != len(found):
        raise UsageError("a log is named twice: name each once")
    if len(found) > LOGS_MAX:
        raise UsageError(f"more than {LOGS_MAX} logs: name fewer")
    missing = sorted((wanted or frozenset()) - {name for name, _ in found})
    if missing:
        raise UsageError(f"there is no node {missing[0]!r} among {', '.join(name for name, _ in found)}")
    return found


def _named(path: Path) -> tuple[str, Path]:
    """Names a log: a home's by its node's name, a file below a home's log/ by the home's folder, another by its own
    name."""
    if (path / "config.toml").is_file():
        home = Home(path)
        return home.load_config().config.node.name, _of_home(home)
    if path.parent.name == "log":
        return path.absolute().parent.parent.name, path
    return path.stem, path


def _of_home(home: Home) -> Path:
    file = home.load_config().config.log.file
    if not file:
        raise UsageError(f"{home.path} logs to standard error: name the file that it was redirected to")
    return home.path / file
