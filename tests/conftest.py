"""Puts this folder on the path, so that all tests find `process_tools`. Starts the slowest files first, so that no
worker ends with one of them. Refuses a test of two groups. Prints the tests' measurements at the end. No property fails
by the clock."""

from collections.abc import Callable

import pytest
from hypothesis import settings

LONGEST = (
    "test_wasm.py",
    "test_snarkjs.py",
    "test_s3.py",
    "test_consistency.py",
    "test_openapi.py",
    "test_locked_install.py",
    "test_vote_path.py",
    "test_churn.py",
    "test_guides.py",
    "test_pruned_chain.py",
    "test_reader_abuse.py",
    "test_member_abuse.py",
    "test_backups.py",
    "test_faulty_shards.py",
    "test_at_rest.py",
    "test_proofs.py",
    "test_wrong_clocks.py",
    "test_network_abuse.py",
    "test_state_sync.py",
    "test_restart.py",
    "test_rollup_on_a_devnet.py",
    "test_retired.py",
    "test_shielded.py",
    "test_follower.py",
)

GROUPS = ("alone", "nodes", "outside")
"""Marks of tests that `just test` and `just test-outside` run apart from the others."""

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses tests of two groups. Orders the others; with `--no-loadscope-reorder` workers take files in this order.
    Errors: UsageError."""
    for item in items:
        if len(found := [name for name in GROUPS if item.get_closest_marker(name)]) > 1:
            raise pytest.UsageError(f"{item.nodeid} would run in two groups ({', '.join(found)}): take a mark from it")
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
