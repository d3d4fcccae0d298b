"""Pools of shielded value: the proven head, and the unproven records that wallets scan.

Invariants: a pool's head, key and balance are certified by a quorum; records are only for wallets, which keep them only
if they lead to a proven head.
"""

from rustorium import _native, arguments
from rustorium.client.history import HistoryMethods
from rustorium.errors import Absent, NotFound
from rustorium.types import Subject, Value

RECORDS_MAX = 1_000
"""Maximum number of records in one page."""


class PoolMethods(HistoryMethods):
    """The client's methods about pools."""

    async def pool_head(self, pool: int = 1) -> bytes:
        """Returns the canonical bytes of a pool's head: tree, newest root, digest of all records; proven.

        Errors: Absent if the chain has no such pool; VerificationFailed, GenesisNeeded, NoStateRoot, Busy."""
        return await self._pool_value(pool, _native.pool_row("head"))

    async def pool_key(self, pool: int = 1) -> bytes:
        """Returns the canonical bytes of a pool's verifying key; proven. Errors: as `pool_head`."""
        return await self._pool_value(pool, _native.pool_row("key"))

    async def pool_balance(self, asset: str, pool: int = 1) -> int:
        """Returns a pool's balance of an asset, in smallest units; proven."""
        return (await self.balance(_native.pool_account(arguments.whole(pool, "pool")), asset)).amount

    async def pool_records(self, pool: int, first: int, limit: int = RECORDS_MAX) -> bytes:
        """Returns at most 1,000 records of transfers, from number `first` on, concatenated; unproven.

        Errors: NotFound if the chain has no such pool."""
        arguments.whole(pool, "pool")
        params: dict[str, str | int] = {
            "from": arguments.whole(first, "first"),
            "limit": arguments.whole(limit, "limit"),
        }
        part = self._part_of(_native.pool_account(pool))
        return await part._read(
            lambda answer: bytes.fromhex(answer["records_hex"]), f"/v1/pools/{pool}/records", params=params
        )

    async def _pool_value(self, pool: int, row: bytes) -> bytes:
        subject = Subject(_native.pool_account(arguments.whole(pool, "pool")), key=row)
        held = (await self.proven([subject], at="current")).items[subject]
        if not isinstance(held, Value) or held.value is None:
            raise (Absent if isinstance(held, Value) and held.at.proven else NotFound)(
                f"this chain has no pool {pool}: its genesis names the pools that it has", code="no-such-pool"
            )
        return held.value
