"""Each mend of the rules of shards is needed: a scenario holds with it, and its invariant breaks without it."""

import pytest
from taken_out import TABLE, TakenOut

from rustorium.sharding.explore import explore


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.finding)
def test_scenario_holds_with_the_mend_and_breaks_without_it(row: TakenOut) -> None:
    whole = explore(row.scenario())
    assert whole.fault is None, f"{row.finding}, with {row.rule}: {whole}"
    assert whole.complete, str(whole)
    with row.applied():
        flawed = explore(row.scenario())
    print(f"{row.finding}: {row.rule} taken out, so that {row.without}:\n{flawed}")
    assert flawed.fault is not None, f"{row.finding} isn't found without {row.rule}: {flawed}"
    assert flawed.fault.startswith(row.breaks), str(flawed)


def test_findings_are_named_once() -> None:
    names = [row.finding for row in TABLE]
    assert len(names) == len(set(names))
