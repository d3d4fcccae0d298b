"""What a healthy node says of itself."""

from typing import Any

ANSWER: dict[str, Any] = {
    "chain": "ab" * 32,
    "node": "node-0",
    "validator": 0,
    "version": "0.1.0",
    "height": 9,
    "view": 12,
    "epoch": 0,
    "claimed": {"height": 8, "root": "00" * 32},
    "peers_up": 3,
    "peers": 3,
    "unreachable": [],
    "pool_transactions": 0,
    "pool_bytes": 0,
    "role": "validator",
    "durability": "vote",
    "ready": True,
    "evidence": [],
    "at": {"height": 9, "root": "00" * 32, "shard": 0},
}
GOVERNANCE: dict[str, Any] = {"seats": 3, "quorum": 2, "proposals": [], "pauses": []}
"""What it says of operators' seats of which nothing waits."""
