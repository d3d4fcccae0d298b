"""A finding warns in time that a certificate ends, and there is none for a certificate that is renewed in time."""

import pytest

from rustorium.health.certificate import trouble

HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("days", "left_ms", "said"),
    [
        (90, 30 * DAY, ""),
        (90, 14 * DAY, ""),
        (90, 14 * DAY - 1, "expires in 13 days"),
        (90, 36 * HOUR, "expires in 36 hours"),
        (90, 60_000, "expires in 1 minutes"),
        (90, 0, "expired 0 minutes ago"),
        (90, -3 * DAY, "expired 3 days ago"),
        (1, 8 * HOUR, ""),
        (1, 8 * HOUR - 1, "expires in 7 hours"),
        (90, 90 * DAY, ""),
        (90, 91 * DAY, "becomes valid in 24 hours"),
    ],
)
def test_messages_about_a_certificate(days: int, left_ms: int, said: str) -> None:
    ends_ms = 1_800_000_000_000
    found = trouble(ends_ms - days * DAY, ends_ms, ends_ms - left_ms)
    assert said in found
    assert bool(said) == bool(found)
