"""The command line: one app with two names, `rustorium-node` and `rustorium`; one file per command group, without
logic.

Invariants: trio, the extension and the client are imported only when a command runs.
"""

from rustorium.cli.app import main

__all__ = ["main"]
