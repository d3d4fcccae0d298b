"""Tools for whole nets: generating files, running devnets on this machine, joining validators, and making load.

Invariants: SYNC; it uses `client` and `home`; neither the node nor the client imports it.
"""

from rustorium.access.netfile import Net, read_net

__all__ = ["Net", "read_net"]
