"""Rustorium: a Byzantine-fault-tolerant ledger with a Python client that checks proofs itself.

Invariants: importing this costs nothing; names load on first use.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustorium.client import AsyncClient, Client, Key, LightClient

__version__ = "0.2.0"
__all__ = ["AsyncClient", "Client", "Key", "LightClient", "__version__"]


def __getattr__(name: str) -> object:
    if name in ("AsyncClient", "Client", "Key", "LightClient"):
        import rustorium.client

        return getattr(rustorium.client, name)
    raise AttributeError(f"module 'rustorium' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
