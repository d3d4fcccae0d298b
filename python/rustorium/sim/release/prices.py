"""Prices of work in the simulator's virtual processors, nanoseconds: estimates, until `just bench-costs --write` has
replaced this file with what it measured."""

PRICES = {
    "sign": 15000,
    "single": 35000,
    "group": 20000,
    "grouped": 17000,
    "turn": 5000,
    "proposal": 15000,
    "vote": 6000,
    "certificate": 3000,
    "heartbeat": 6000,
    "report": 3000,
    "batch": 8000,
    "transactions": 8000,
    "request": 8000,
    "response": 8000,
    "own": 6000,
    "effect": 6000,
    "admitted": 5000,
    "block": 60000,
    "transaction": 10000,
    "kib": 500,
}
"""Of the data plane's threads, by what they do: `Item` in crates/sim says what each name means."""
CORE_STEP_NS = 25000
"""A step of the consensus core."""
