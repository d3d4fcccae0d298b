"""A node's process, in three rooms: the loop around the core, the admin plane, and what heals a node from outside.

Invariants: TRIO, never asyncio; no decision is made here; recovery uses the loop, the loop the admin plane, and none of
them the other way round.
"""
