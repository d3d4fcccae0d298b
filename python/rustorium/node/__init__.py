"""A node's process: the trio loop between the data plane and the replica, its admin socket, and its shutdown.

Invariants: TRIO, never asyncio; no decision is made here; a step of the loop does no input or output but the port's.
"""
