"""Where this machine is, as far as its time zone says.

Invariants: SYNC; reads files of the system, and asks nobody.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from rustorium.geo.places import Place

ZONES = Path("/usr/share/zoneinfo")
LOCALTIME = Path("/etc/localtime")
ROW = re.compile(r"^[A-Z,]+\t([+-]\d+)([+-]\d+)\t(\S+)", re.MULTILINE)
"""Latitude, longitude and name of a zone in `zone1970.tab`."""


def zone_place(
    environment: Mapping[str, str] = os.environ, zones: Path = ZONES, localtime: Path = LOCALTIME
) -> Place | None:
    """Returns the main place of this machine's time zone; `None` if the zone is no place, such as UTC, or unknown."""
    name = environment.get("TZ", "").lstrip(":") or _linked(localtime)
    try:
        table = (zones / "zone1970.tab").read_text(encoding="utf-8")
    except OSError:
        return None
    found = next((row for row in ROW.finditer(table) if row[3] == name), None)
    return None if found is None else (_degrees(found[1]), _degrees(found[2]))


def _linked(localtime: Path) -> str:
    try:
        _, _, name = str(localtime.resolve()).partition("zoneinfo/")
    except OSError:
        return ""
    return name


def _degrees(text: str) -> float:
    """Parses ±DDMM, ±DDDMM, ±DDMMSS or ±DDDMMSS."""
    sign, digits = text[0], text[1:]
    seconds = int(digits[-2:]) if len(digits) > 5 else 0
    rest = digits[:-2] if len(digits) > 5 else digits
    found = int(rest[:-2]) + int(rest[-2:]) / 60 + seconds / 3600
    return -found if sign == "-" else found
