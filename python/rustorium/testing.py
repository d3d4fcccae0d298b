"""A pytest plugin: real devnets (`devnet`, `devnet_factory`) and simulator seeds (`sim`) as fixtures.

Invariants: safe under pytest-xdist (each worker has nets, folders and ports of its own); every process started for a
test is ended with it; a failing test prints the seeds that it played and the one line that repeats each.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from rustorium.net.devnet import Devnet
    from rustorium.sim.run import Report

_SEEDS = pytest.StashKey[list[str]]()


class DevnetFactory(Protocol):
    """Makes and starts a devnet; `options` are the arguments of `Devnet.create`."""

    def __call__(self, *, start: bool = True, **options: Any) -> "Devnet": ...


class Sim(Protocol):
    """Plays one seed of the simulator; fails the test if an invariant broke or the chain stopped."""

    def __call__(self, seed: int, mode: str = "liveness") -> "Report": ...


@pytest.fixture
def devnet_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetFactory]:
    """Makes devnets for one test; all are stopped at its end."""
    with _Factory(tmp_path_factory) as factory:
        yield factory


@pytest.fixture(scope="session")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Devnet]":
    """A running devnet of four validators, shared by all tests of a worker: leave it as healthy as it was."""
    with _Factory(tmp_path_factory) as factory:
        yield factory()


@pytest.fixture
def sim(request: pytest.FixtureRequest) -> Sim:
    """Plays seeds of the simulator."""
    from rustorium.sim.modes import Mode
    from rustorium.sim.run import run_seed

    played = request.node.stash.setdefault(_SEEDS, [])

    def play(seed: int, mode: str = "liveness") -> "Report":
        report = run_seed(seed, Mode(mode))
        played.append(f"{report.line()}\n  repeat with: {report.repeat()}")
        if not report.ok:
            pytest.fail(f"{report.failure}\nrepeat with: {report.repeat()}", pytrace=False)
        return report

    return play


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failing test's report the seeds that it played."""
    report = yield
    if report.failed and (played := item.stash.get(_SEEDS, [])):
        report.sections.append(("seeds", "\n".join(played)))
    return report


class _Factory:
    """Makes devnets and stops them at the end."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._made: list[Devnet] = []

    def __enter__(self) -> "_Factory":
        return self

    def __call__(self, *, start: bool = True, **options: Any) -> "Devnet":
        from rustorium.net.devnet import Devnet

        root: Path = options.pop("root", None) or self._folders.mktemp("devnet")
        net = Devnet.resume(root) if Devnet.exists(root) else Devnet.create(root, **options)
        self._made.append(net)
        if start:
            net.start()
        return net

    def __exit__(self, *_: object) -> None:
        for net in self._made:
            net.stop()


__all__ = ["DevnetFactory", "Sim", "devnet", "devnet_factory", "sim"]
