"""Whole nets: their files generated, devnets of processes on this machine, validators that join, and load on them.

Invariants: SYNC; uses clients and homes from outside; no node and no client imports it.
"""

from rustorium.access.netfile import Net, read_net

__all__ = ["Net", "read_net"]
