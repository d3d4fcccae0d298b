"""Prices of work in the simulator's virtual processors, nanoseconds, as a benchmark measured them.

Machine: 2 cores of AMD EPYC.
Command: `just bench-costs --write`, on 2026-11-27.
"""

PRICES = {
    "sign": 17836,
    "single": 37836,
    "group": 30142,
    "grouped": 21490,
    "turn": 2054,
    "proposal": 14871,
    "vote": 6527,
    "heartbeat": 2988,
    "batch": 15160,
    "request": 2333,
    "response": 3263,
    "own": 6288,
    "admitted": 11226,
    "report": 2462,
    "transactions": 21131,
    "work": 1952,
    "certificate": 1136,
    "effect": 5884,
    "block": 30309,
    "transaction": 19763,
    "kib": 855,
}
"""Of the data plane's threads, by what they do: `Item` in crates/sim says what each name means."""
CORE_STEP_NS = 18598
"""A step of the consensus core."""
