"""Where regions are, and how far two places are from each other.

Invariants: PURE; places only sort candidates, and nothing that nodes agree on depends on them.
"""

from math import cos, radians, sin

from rustorium.errors import UsageError
from rustorium.regions import KNOWN

Place = tuple[float, float]
"""Degrees north, and degrees east."""

PLACES: dict[str, Place] = {
    "us-east": (39, -77.5), "us-central": (41.3, -95.9), "us-south": (32.8, -96.8), "us-west": (37.4, -122),
    "canada-east": (45.5, -73.6), "canada-west": (51, -114.1), "mexico-central": (20.6, -100.4),
    "southamerica-east": (-23.5, -46.6), "southamerica-west": (-33.4, -70.7), "europe-west": (53.3, -6.3),
    "europe-central": (50.1, 8.7), "europe-north": (59.3, 18.1), "europe-south": (45.5, 9.2),
    "europe-east": (52.2, 21), "asia-east": (22.3, 114.2), "asia-northeast": (35.7, 139.7),
    "asia-south": (19.1, 72.9), "asia-southeast": (1.35, 103.8), "asia-central": (43.2, 76.9),
    "australia-east": (-33.9, 151.2), "australia-southeast": (-37.8, 145), "middleeast-central": (25.2, 55.3),
    "middleeast-west": (32.1, 34.8), "africa-north": (30, 31.2), "africa-south": (-26.2, 28),
    "us-east-1": (39, -77.5), "us-east-2": (40, -83), "us-west-1": (37.4, -122), "us-west-2": (45.8, -119.7),
    "ca-central-1": (45.5, -73.6), "ca-west-1": (51, -114.1), "mx-central-1": (20.6, -100.4),
    "sa-east-1": (-23.5, -46.6), "eu-west-1": (53.3, -6.3), "eu-west-2": (51.5, -0.1), "eu-west-3": (48.9, 2.4),
    "eu-central-1": (50.1, 8.7), "eu-central-2": (47.4, 8.5), "eu-north-1": (59.3, 18.1), "eu-south-1": (45.5, 9.2),
    "eu-south-2": (41.7, -0.9), "ap-east-1": (22.3, 114.2), "ap-east-2": (25, 121.5), "ap-south-1": (19.1, 72.9),
    "ap-south-2": (17.4, 78.5), "ap-northeast-1": (35.7, 139.7), "ap-northeast-2": (37.6, 127),
    "ap-northeast-3": (34.7, 135.5), "ap-southeast-1": (1.35, 103.8), "ap-southeast-2": (-33.9, 151.2),
    "ap-southeast-3": (-6.2, 106.8), "ap-southeast-4": (-37.8, 145), "ap-southeast-5": (3.1, 101.7),
    "ap-southeast-7": (13.8, 100.5), "me-central-1": (25.2, 55.3), "me-south-1": (26.1, 50.6),
    "il-central-1": (32.1, 34.8), "af-south-1": (-33.9, 18.4), "us-central1": (41.3, -95.9), "us-east1": (33.2, -80),
    "us-east4": (39, -77.5), "us-east5": (40, -83), "us-south1": (32.8, -96.8), "us-west1": (45.6, -121.2),
    "us-west2": (34.1, -118.2), "us-west3": (40.8, -111.9), "us-west4": (36.2, -115.1),
    "northamerica-northeast1": (45.5, -73.6), "northamerica-northeast2": (43.7, -79.4),
    "northamerica-south1": (20.6, -100.4), "southamerica-east1": (-23.5, -46.6), "southamerica-west1": (-33.4, -70.7),
    "europe-central2": (52.2, 21), "europe-north1": (60.6, 27.2), "europe-north2": (59.3, 18.1),
    "europe-southwest1": (40.4, -3.7), "europe-west1": (50.4, 3.8), "europe-west2": (51.5, -0.1),
    "europe-west3": (50.1, 8.7), "europe-west4": (53.4, 6.8), "europe-west6": (47.4, 8.5),
    "europe-west8": (45.5, 9.2), "europe-west9": (48.9, 2.4), "europe-west10": (52.5, 13.4),
    "europe-west12": (45.1, 7.7), "asia-east1": (24.1, 120.5), "asia-east2": (22.3, 114.2),
    "asia-northeast1": (35.7, 139.7), "asia-northeast2": (34.7, 135.5), "asia-northeast3": (37.6, 127),
    "asia-south1": (19.1, 72.9), "asia-south2": (28.6, 77.2), "asia-southeast1": (1.35, 103.8),
    "asia-southeast2": (-6.2, 106.8), "australia-southeast1": (-33.9, 151.2), "australia-southeast2": (-37.8, 145),
    "me-central1": (25.3, 51.5), "me-central2": (26.4, 50.1), "me-west1": (32.1, 34.8), "africa-south1": (-26.2, 28),
}  # fmt: skip
"""Providers name the city or the land of a region; a plain part of the world stands for a city in it."""


def place_of_region(byte: int) -> Place | None:
    """Returns where a region is; `None` for labels of a net and for machines that say no region."""
    return PLACES.get(KNOWN[byte]) if 0 <= byte < len(KNOWN) else None


def distance(one: Place, other: Place) -> float:
    """Returns how far two places are from each other: the square of the straight line through a globe of radius 1."""
    return sum((a - b) ** 2 for a, b in zip(_point(one), _point(other), strict=True))


def _point(place: Place) -> tuple[float, float, float]:
    north, east = map(radians, place)
    return cos(north) * cos(east), cos(north) * sin(east), sin(north)


def parse_place(text: str) -> Place:
    """Parses the name of a region, or degrees north and east such as "35.7,139.7". Errors: UsageError."""
    if text in PLACES:
        return PLACES[text]
    try:
        north, east = (float(part) for part in text.split(","))
    except ValueError:
        north = east = float("nan")
    if not (-90 <= north <= 90 and -180 <= east <= 180):
        raise UsageError(
            f"{text!r} is no place: give degrees north and east such as 35.7,139.7, or a region such as asia-northeast"
        )
    return north, east
