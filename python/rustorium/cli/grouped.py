"""The list of all commands in `--help`, grouped by task."""

import re
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperArgument, TyperGroup

SECTIONS: dict[str, tuple[str, ...]] = {
    "Try it": ("devnet",),
    "Use the ledger": ("keys", "account", "tx", "query", "block", "shard", "wallet", "zk"),
    "Check what nodes say": ("verify", "checkpoint", "genesis"),
    "Run a node": ("init", "start", "config", "doctor", "systemd", "upgrade", "signer", "admin", "audit"),
    "Run a net": ("testnet", "geo", "node", "govern", "followers"),
    "Watch": ("status", "top", "metrics", "logs", "dashboards", "analyze", "bench"),
    "Keep it alive": ("recover", "backup", "snapshot", "debug"),
    "Find faults": ("sim", "replay"),
    "Write scripts": ("schema",),
}
OTHERS = "Others"
TYPES = {"str": "text", "int": "number", "float": "number", "int range": "number", "float range": "number"}
"""Names of Python's types in help texts."""
SHORT_HELP_CHARS = 200
"""Maximum number of characters of a command's first sentence; the text is wrapped and not cut."""


RANGE = re.compile(r"(?:(?P<low>[\d.]+)<=)?x(?:(?P<sign>[<>]=)(?P<end>[\d.]+))?")
RANGES = re.compile(r"[\d.]+<=x(?:<=[\d.]+)?|\bx[<>]=[\d.]+")
"""Ranges within a help text."""


def range_words(shown: str | None) -> str | None:
    """Returns a number's range in words, such as "at least 1" for `x>=1`."""
    found = RANGE.fullmatch(shown or "")
    if found is None:
        return shown
    low, sign, end = found["low"], found["sign"], found["end"]
    if low is not None:
        return f"{low} to {end}" if end is not None else f"at least {low}"
    return {">=": f"at least {end}", "<=": f"at most {end}"}.get(sign, shown)


SECONDS = re.compile(r"(\[default: )(\d+(?:\.[1-9]\d*)?)(?:\.0)?(?=[\];])")
"""The default of an option that counts seconds."""


def type_words(shown: str) -> str:
    """Returns a type in words, such as `<text>` for `<list[str]>`."""
    label = shown.removeprefix("<").removesuffix(">")
    label = label.removeprefix("list[").removesuffix("]") if label.startswith("list[") else label
    return f"<{TYPES.get(label, label.lower())}>"


def plain_help(record: tuple[str, str] | None) -> tuple[str, str] | None:
    """Returns an option's line of help with `<text>` and "at least 1" in place of `<list[str]>` and `x>=1`."""
    if record is None:
        return None
    name, text = record
    if "<duration>" in name:
        text = SECONDS.sub(r"\g<1>\g<2>s", text)
    name = re.sub(r"<[^>]+>", lambda one: type_words(one[0]), name)
    return name, RANGES.sub(lambda one: range_words(one[0]) or "", text)


def name_argument(argument: TyperArgument) -> None:
    """Names an argument in capitals, in help and errors, whatever this version of Typer would print: `[KEY]...`."""
    name = (argument.metavar or argument.name).upper()
    shown = name if argument.required else f"[{name}]"
    argument.metavar = name
    setattr(argument, "get_usage_pieces", lambda ctx: [shown + ("..." if argument.nargs != 1 else "")])  # noqa: B010


class FullHelpGroup(TyperGroup):
    """A group whose help lists each command with its whole first sentence, and whose commands' help is plain."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for parameter in (one for command in self.commands.values() for one in command.params):
            if isinstance(parameter, TyperArgument):
                name_argument(parameter)
            told = parameter.get_help_record
            setattr(parameter, "get_help_record", lambda ctx, told=told: plain_help(told(ctx)))  # noqa: B010

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
