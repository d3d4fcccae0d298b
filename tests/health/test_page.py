"""The operators' page names every finding, and no other."""

import re
from pathlib import Path

from rustorium.health.catalogue import FINDINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recovery.md"


def test_every_finding_is_explained() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE) == list(FINDINGS)
