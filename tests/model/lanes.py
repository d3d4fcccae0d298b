"""The lanes as one node holds them: batches by author and seq, its own pool, and what a block could list.

Invariants: at one seq of a lane the first batch seen counts for listing, and any listed one is kept. An own batch is on
disk before it is sent, so an honest lane has one batch per seq.
"""

from collections.abc import Sequence

from model.vocabulary import Batch, ListedBatch, make_batch

BEYOND_MAX = 64
"""W: peers take at most this many batches of a lane beyond its final cursor, unless one is listed."""
LIST_MAX = 8
"""A block takes at most this many batches per lane."""


class Lanes:
    """The lanes of one epoch; a node outside its committee (`me` is None) has no own lane."""

    def __init__(self, epoch: int, me: int | None, n: int) -> None:
        self._epoch, self._me, self._n = epoch, me, n
        self._by_digest: dict[bytes, Batch] = {}
        self._by_seq: dict[tuple[int, int], Batch] = {}
        self._pool: list[int] = []
        self._own_next = 0
        self._own_transactions: set[int] = set()

    def get(self, digest: bytes) -> Batch | None:
        return self._by_digest.get(digest)

    def add(self, batch: Batch, cursors: Sequence[int], listed: bool) -> bool:
        """Keeps a batch if it is listed or inside the window above `cursors`; returns whether it is new."""
        if batch.digest in self._by_digest or batch.epoch != self._epoch:
            return False
        if not listed and not 0 <= batch.seq - cursors[batch.author] < BEYOND_MAX:
            return False
        self._by_digest[batch.digest] = batch
        self._by_seq.setdefault((batch.author, batch.seq), batch)
        if batch.author == self._me:
            self._own_next = max(self._own_next, batch.seq + 1)
            self._own_transactions.update(batch.transactions)
        return True

    def submit(self, transaction: int) -> bool:
        """A client's transaction; the same one twice is one."""
        if transaction in self._own_transactions or transaction in self._pool:
            return False
        self._pool.append(transaction)
        return True

    def cut(self) -> Batch | None:
        """Makes the pool the next own batch; the caller puts it on disk before adding or sending it."""
        if not self._pool or self._me is None:
            return None
        transactions, self._pool = tuple(self._pool), []
        batch = make_batch(self._epoch, self._me, self._own_next, transactions)
        self._own_next += 1
        self._own_transactions.update(transactions)
        return batch

    def pooled(self) -> set[int]:
        """Returns the clients' transactions at this node: those that wait, and those in its own batches."""
        return self._own_transactions | set(self._pool)

    def skip_to(self, cursors: Sequence[int]) -> None:
        """Called after a restart, because an own seq that the chain has used must never be used again."""
        if self._me is not None:
            self._own_next = max(self._own_next, cursors[self._me])

    def listable(self, cursors: Sequence[int], ends: Sequence[int | None]) -> tuple[ListedBatch, ...]:
        """Returns what a block could list from these cursors on: per lane the contiguous range, up to the lane's
        end."""
        listed: list[ListedBatch] = []
        for author in range(self._n):
            seq, end = cursors[author], ends[author]
            for _ in range(LIST_MAX):
                batch = self._by_seq.get((author, seq))
                if batch is None or (end is not None and seq >= end):
                    break
                listed.append(ListedBatch(author, seq, batch.digest))
                seq += 1
        return tuple(listed)

    def any_listable(self, cursors: Sequence[int]) -> bool:
        return any((author, cursors[author]) in self._by_seq for author in range(self._n))

    def held(self, cursors: Sequence[int]) -> tuple[int, ...]:
        """Returns for each lane the first seq from the final cursor on that this node lacks."""
        ends = []
        for author in range(self._n):
            seq = cursors[author]
            while (author, seq) in self._by_seq:
                seq += 1
            ends.append(seq)
        return tuple(ends)
