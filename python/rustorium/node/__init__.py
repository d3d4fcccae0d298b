"""A node's process, in three rooms: the loop around the core, the admin plane, and recovery from outside.

Invariants: TRIO, never asyncio; no decision is made here. Recovery uses the loop, the loop uses the admin plane, and
never the reverse.
"""
