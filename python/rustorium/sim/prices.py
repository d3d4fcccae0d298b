"""Prices of work in the simulator's virtual processors, nanoseconds, as a benchmark measured them.

Machine: 2 cores of AMD EPYC.
Command: `just bench-costs --write`, on 2026-11-27.
"""

PRICES = {
    "sign": 17937,
    "single": 37694,
    "group": 33228,
    "grouped": 19583,
    "turn": 2023,
    "proposal": 10656,
    "vote": 3996,
    "heartbeat": 2428,
    "batch": 8957,
    "request": 1943,
    "response": 2324,
    "own": 3796,
    "admitted": 6399,
    "report": 1833,
    "transactions": 14924,
    "work": 1843,
    "certificate": 1296,
    "effect": 4326,
    "block": 16479,
    "transaction": 13395,
    "kib": 888,
}
"""Prices of the data plane's threads, by kind of work: `Item` in crates/sim says what each name means."""
CORE_STEP_NS = 12890
"""The price of one step of the consensus core."""
