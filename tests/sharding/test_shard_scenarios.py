"""The rules of shards hold in every state of the small scenarios."""

import pytest
from scenarios import SCENARIOS, Scenario

from rustorium.sharding.explore import explore


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if not s.long], ids=lambda scenario: scenario.name)
def test_every_state_holds(scenario: Scenario) -> None:
    report = explore(scenario.model)
    print(report)
    assert report.fault is None, str(report)
    assert report.complete, str(report)
