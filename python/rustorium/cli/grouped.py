"""The list of all commands in `--help`, grouped by task."""

from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperGroup

SECTIONS: dict[str, tuple[str, ...]] = {
    "Try it": ("devnet",),
    "Use the ledger": ("keys", "account", "tx", "query", "block", "wallet", "zk"),
    "Check what nodes say": ("verify", "checkpoint", "genesis"),
    "Run a node": ("init", "start", "config", "doctor", "systemd", "upgrade", "signer", "admin", "audit"),
    "Run a net": ("testnet", "node", "followers"),
    "Watch": ("status", "top", "metrics", "logs", "dashboards", "analyze", "bench"),
    "Keep it alive": ("recover", "backup", "snapshot", "debug"),
    "Find faults": ("sim", "replay"),
}
OTHERS = "Others"
SHORT_HELP_CHARS = 200
"""Maximum number of characters of a command's first sentence; the text is wrapped and not cut."""


class FullHelpGroup(TyperGroup):
    """A group whose help lists each command with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes one section, in the order of registration."""
        self._section(ctx, formatter, "Commands", self.list_commands(ctx))

    def _section(self, ctx: Any, formatter: Any, title: str, names: Iterable[str]) -> None:
        known = [(name, self.get_command(ctx, name)) for name in names]
        rows = [(name, one.get_short_help_str(SHORT_HELP_CHARS)) for name, one in known if one is not None]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


class SectionedGroup(FullHelpGroup):
    """The program's own group, whose help lists the commands in sections."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes each section; `OTHERS` has commands that no section names."""
        named = {name for names in SECTIONS.values() for name in names}
        others = tuple(name for name in self.list_commands(ctx) if name not in named)
        for title, names in (*SECTIONS.items(), (OTHERS, others)):
            self._section(ctx, formatter, title, names)


def list_whole(app: typer.Typer) -> None:
    """Makes every group below `app` a `FullHelpGroup`."""
    for registered in app.registered_groups:
        group = registered.typer_instance
        if group is not None:
            group.info.cls = FullHelpGroup
            list_whole(group)
