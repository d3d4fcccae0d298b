"""Puts this folder on the path, so that all tests find `process_tools`. Starts the slowest files first, so that no
worker ends with one of them. Prints the tests' measurements at the end. No property fails by the clock."""

from collections.abc import Callable

import pytest
from hypothesis import settings

LONGEST = (
    "test_reader_abuse.py",
    "test_pruned_chain.py",
    "test_member_abuse.py",
    "test_guides.py",
    "test_proofs.py",
    "test_backups.py",
    "test_wrong_clocks.py",
    "test_network_abuse.py",
    "test_state_sync.py",
    "test_restart.py",
    "test_rollup_on_a_devnet.py",
    "test_shielded.py",
    "test_follower.py",
)

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the tests; with `--no-loadscope-reorder` workers take files in this order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keeps a measurement for the end of the run's output, since pytest doesn't show the output of passing tests."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    figures = [text for report in reports for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(str(text))
