"""Names of the region bytes of accounts and validators, the same on every chain.

A byte below `OWN_FIRST` is an index into `KNOWN`. From `OWN_FIRST` on, a net's own labels have bytes in the net's
order.

Invariants: PURE; a name keeps its byte for ever, so names are only appended; a byte without a name is shown as its
number.
"""

import difflib
from collections.abc import Sequence

from rustorium.errors import UsageError

OWN_FIRST = 192
OWN_MAX = 256 - OWN_FIRST
LOCAL = "local"
KNOWN: tuple[str, ...] = (
    LOCAL,
    # Parts of the world, for users who name no cloud provider.
    "us-east", "us-central", "us-south", "us-west", "canada-east", "canada-west", "mexico-central",
    "southamerica-east", "southamerica-west", "europe-west", "europe-central", "europe-north", "europe-south",
    "europe-east", "asia-east", "asia-northeast", "asia-south", "asia-southeast", "asia-central", "australia-east",
    "australia-southeast", "middleeast-central", "middleeast-west", "africa-north", "africa-south",
    # Amazon.
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "ca-west-1", "mx-central-1", "sa-east-1",
    "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2",
    "ap-east-1", "ap-east-2", "ap-south-1", "ap-south-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
    "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7",
    "me-central-1", "me-south-1", "il-central-1", "af-south-1",
    # Google.
    "us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4",
    "northamerica-northeast1", "northamerica-northeast2", "northamerica-south1", "southamerica-east1",
    "southamerica-west1", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1",
    "europe-west2", "europe-west3", "europe-west4", "europe-west6", "europe-west8", "europe-west9", "europe-west10",
    "europe-west12", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3",
    "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2", "australia-southeast1",
    "australia-southeast2", "me-central1", "me-central2", "me-west1", "africa-south1",
)  # fmt: skip
_BYTES = {name: byte for byte, name in enumerate(KNOWN)}


def own_labels(names: Sequence[str]) -> list[str]:
    """Returns a net's region names that are not in `KNOWN`, in the order of their bytes."""
    return [name for name in dict.fromkeys(names) if name not in _BYTES]


def region_byte(name: str, net: Sequence[str] = ()) -> int:
    """Returns the byte of a known region, or of a label of a net with these region names. Errors: UsageError."""
    own = own_labels(net)
    if name in _BYTES:
        return _BYTES[name]
    if name in own[:OWN_MAX]:
        return OWN_FIRST + own.index(name)
    near = difflib.get_close_matches(name.strip().lower(), [*own, *KNOWN], n=3, cutoff=0.5)
    known = ", ".join(near or dict.fromkeys([*net, "asia-northeast", "europe-west", "us-east"]))
    what = "the nearest known" if near else "known are the cloud providers' names and the like of"
    raise UsageError(f"there is no region {name!r}: {what} {known}")


def parse_region(text: str, net: Sequence[str] = ()) -> int:
    """Parses a region's name, or its byte in digits. Errors: UsageError."""
    if not (text.isascii() and text.isdigit()):
        return region_byte(text, net)
    if int(text) > 255:
        raise UsageError(f"a region's byte is 0 to 255, not {text}: give that, or a region's name")
    return int(text)


def region_name(byte: int, net: Sequence[str] = ()) -> str:
    """Returns the name of a region byte, or its digits if it has no name."""
    own = own_labels(net)
    if byte < len(KNOWN):
        return KNOWN[byte]
    return own[byte - OWN_FIRST] if 0 <= byte - OWN_FIRST < len(own) else str(byte)
