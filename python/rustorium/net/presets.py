"""Presets of a chain's quotas: what accounts and their sponsors may use over time (V59).

Invariants: PURE; each preset has all fields of `capacity`; a preset's bursts have room for the largest transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

PresetName = Literal["private", "consortium", "open"]
NAMES: tuple[PresetName, ...] = get_args(PresetName)
CORES = 2
"""The cores of a validator for which `WORK_PER_S` was measured."""
WORK_PER_S = 7_500_000
"""Work units in a second of which two cores have room with state roots (`just bench`)."""
WHOLE_PPM = 1_000_000
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Preset:
    """The quotas of a new chain."""

    assumes: str
    """What the preset assumes of the accounts' holders, in words."""
    work_per_s: int
    """Work units in a second of all accounts, with `CORES` cores."""
    history_per_s: int
    """Bytes of history in a second of all accounts."""
    account_ppm: int
    """An account's share of both, in millionths."""
    sponsor_ppm: int
    """A sponsor's share of both, in millionths."""
    work_burst_s: int
    """Seconds for which unused work adds up."""
    storage_bytes: int
    """Storage of a funded account of the genesis."""
    sponsors: bool = True
    """Whether each funded account of the genesis is a sponsor of its own."""
    history_burst_s: int = 600
    """Seconds for which unused history adds up."""
    operators_delay_ms: int = 0
    """Time between a decision for other operators and the epoch's end that may take them (V46)."""
    owners_recover_ms: int = 30 * 24 * 3_600_000
    """The same if validators' owners decide it, because seats are lost (V48)."""

    def parameters(self, cores: int = CORES) -> dict[str, Any]:
        """Returns the chain parameters, for validators with so many cores."""
        work_per_s = self.work_per_s * cores // CORES
        account_work = work_per_s * self.account_ppm // WHOLE_PPM
        account_history = self.history_per_s * self.account_ppm // WHOLE_PPM
        return {
            "quota_work_per_s": account_work,
            "quota_work_max": account_work * self.work_burst_s,
            "capacity": {
                "quota_history_max": account_history * self.history_burst_s,
                "quota_history_per_s": account_history,
                "work_per_s": work_per_s,
                "history_per_s": self.history_per_s,
                "work_burst_ms": 1_000 * self.work_burst_s,
                "history_burst_ms": 1_000 * self.history_burst_s,
                "common_ppm": self.sponsor_ppm,
            },
            "operators_delay_ms": self.operators_delay_ms,
            "owners_recover_ms": self.owners_recover_ms,
        }

    def sponsors_of(self, accounts: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the sponsors of a genesis, one for each account; none if the preset has none."""
        share = {"work_ppm": self.sponsor_ppm, "history_ppm": self.sponsor_ppm}
        return [{"account": account} | share for account in accounts] if self.sponsors else []


PRESETS: Mapping[PresetName, Preset] = {
    "private": Preset(
        assumes="one organisation: limits catch loops",
        work_per_s=4 * WORK_PER_S,
        history_per_s=32 * MIB,
        account_ppm=500_000,
        sponsor_ppm=WHOLE_PPM,
        work_burst_s=10,
        storage_bytes=1024 * GIB,
        sponsors=False,
    ),
    "consortium": Preset(
        assumes="several organisations, each a sponsor",
        work_per_s=WORK_PER_S,
        history_per_s=2 * MIB,
        account_ppm=50_000,
        sponsor_ppm=200_000,
        work_burst_s=10,
        storage_bytes=64 * GIB,
        operators_delay_ms=24 * 3_600_000,
    ),
    "open": Preset(
        assumes="strangers get accounts from sponsors",
        work_per_s=WORK_PER_S,
        history_per_s=512 * KIB,
        account_ppm=10_000,
        sponsor_ppm=100_000,
        work_burst_s=30,
        storage_bytes=4 * GIB,
    ),
}


def preset_of(parameters: Mapping[str, Any]) -> PresetName | None:
    """Returns the preset that a chain's parameters are of, for any number of cores; `None` if they are of none."""
    work_per_s = (parameters.get("capacity") or {}).get("work_per_s", 0)
    for name in NAMES:
        wanted = PRESETS[name].parameters(cores_of(name, work_per_s))
        if all(parameters.get(field) == value for field, value in wanted.items()):
            return name
    return None


def cores_of(name: PresetName, work_per_s: int) -> int:
    """Returns the number of cores for which a preset has so much work."""
    return work_per_s * CORES // PRESETS[name].work_per_s


def parameters_with(name: PresetName, wished: Mapping[str, Any], cores: int = CORES) -> dict[str, Any]:
    """Returns a preset's parameters with those that were asked for. Fields of `capacity` that aren't named stay the
    preset's."""
    found = PRESETS[name].parameters(cores)
    capacity = wished.get("capacity")
    if isinstance(capacity, Mapping):
        wished = {**wished, "capacity": found["capacity"] | dict(capacity)}
    return found | dict(wished)
