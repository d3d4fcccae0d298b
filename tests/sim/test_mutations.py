"""Tests of the checkers: with one rule broken, the seeds find it.

Invariants: no detection depends on a single lucky seed, because a range of seeds is searched and the first detection
ends the search.
"""

import pytest

from breaking import SEEDS_MAX, Seeds
from broken_rules import RULES

PLAYED = [name for name, broken in RULES.items() if isinstance(broken.shown_by, Seeds)]


@pytest.mark.parametrize("name", PLAYED)
def test_a_broken_rule_is_found(name: str) -> None:
    broken = RULES[name]
    assert isinstance(broken.shown_by, Seeds)
    with broken.applied():
        assert broken.shown_by.caught() is not None, f"no seed of {SEEDS_MAX} noticed: {name}"
