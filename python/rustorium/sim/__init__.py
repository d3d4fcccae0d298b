"""Whole committees in one process on virtual time: the core over the release's own stages, with links, disks, crashes,
traitors by family in `actors/`, checkers, and a second ledger beside them (`shadow`).

Invariants: SYNC, never trio. Every random choice comes from `random.Random(seed)` and every time from the event queue,
so a seed repeats exactly. The checkers share no code with the core that they watch.
"""
