"""The seeded simulator: the real consensus core over the release's own stages, links and disks, in virtual time.

Invariants: SYNC, never trio; every random choice comes from `random.Random(seed)` and every time from the event queue,
so a seed repeats exactly; the checkers share no code with the core that they watch.
"""
