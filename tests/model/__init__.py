"""A small model of data plane and disks under the real consensus core. It can break rules that the product can't break.

Invariants: SYNC, never trio; every random choice comes from `random.Random(seed)` and every time from the event queue,
so a seed repeats exactly; the checkers share no code with the core that they watch.
"""
