"""The command line: one app with two names, `rustorium-node` and `rustorium`; one file per command group, no logic.

Invariants: nothing heavy is imported before a command runs (trio, the extension and the client come with the command).
"""

from rustorium.cli.app import main

__all__ = ["main"]
