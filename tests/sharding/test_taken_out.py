"""Each named rule of shards is needed: a scenario holds with it, and its invariant breaks without it."""

import re

import pytest
from flaw_table import FOUND_HEAD, PAGE, line, lines_below, play
from mends import FLAWED, Mend, TakenOut
from taken_out import TABLE

from rustorium.sharding.explore import explore


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.finding)
def test_scenario_holds_with_the_rule_and_breaks_without_it(row: TakenOut) -> None:
    whole = explore(row.scenario())
    assert whole.fault is None, f"{row.finding}, with {row.mends}: {whole}"
    assert whole.complete, str(whole)
    flawed = play(row)
    print(f"{row.finding}: {row.mends} switched off, so that {row.without}:\n{flawed}")
    assert flawed.fault is not None, f"{row.finding} isn't found without {row.mends}: {flawed}"
    assert flawed.fault.startswith(row.breaks), str(flawed)
    wanted = line(row, flawed)
    shown = wanted in lines_below(PAGE.read_text(), FOUND_HEAD)
    assert shown, f"{PAGE.name} lacks this line, which `just model-flaws` writes:\n{wanted}"


def test_page_has_each_flaw_once_and_in_order() -> None:
    shown = [cells.split(" | ")[0].removeprefix("| ") for cells in lines_below(PAGE.read_text(), FOUND_HEAD)]
    assert shown == [row.finding for row in TABLE]
    assert len(shown) == len(set(shown))


def test_each_named_rule_can_be_switched_off_and_is_a_rule_of_the_page() -> None:
    assert set(FLAWED) == set(Mend)
    assert {row.mends[0] for row in TABLE} == set(Mend)
    rules = set(re.findall(r"^\*\*([ST]\d+a?) ", PAGE.read_text(), re.MULTILINE))
    assert {mend.rule for mend in Mend} <= rules
