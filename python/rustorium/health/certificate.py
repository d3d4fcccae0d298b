"""The remaining validity of a certificate.

Invariants: PURE; an operator that renews in time never gets a warning, even if certificates are valid for only a day.
"""

MS_PER_HOUR = 3_600_000
WARNED_MS = 14 * 24 * MS_PER_HOUR
"""Time before the end at which an operator is warned; at the latest after two thirds of the certificate's validity."""


def trouble(begins_ms: int, ends_ms: int, now_ms: int) -> str:
    """Returns what is wrong now, as the beginning of a sentence; empty if nothing is wrong."""
    if now_ms < begins_ms:
        return f"the gateway's certificate becomes valid in {_span(begins_ms - now_ms)}, by this machine's clock"
    if now_ms >= ends_ms:
        return f"the gateway's certificate expired {_span(now_ms - ends_ms)} ago, so clients refuse it"
    if ends_ms - now_ms < min(WARNED_MS, (ends_ms - begins_ms) // 3):
        return f"the gateway's certificate expires in {_span(ends_ms - now_ms)}"
    return ""


def _span(ms: int) -> str:
    hours = ms // MS_PER_HOUR
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours" if hours >= 2 else f"{ms // 60_000} minutes"
