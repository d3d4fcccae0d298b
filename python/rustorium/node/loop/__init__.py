"""A node's task tree: its start, the loop between the data plane and the replica, its self-monitoring, and its end.

Invariants: TRIO; no decision is made here; a step of the loop does no input or output except the port's.
"""
