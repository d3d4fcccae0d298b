"""Writes the manual page `rustorium(1)` from the parser: each command with its arguments and options, by its purpose.

`just reference` writes it to packaging/, from where the wheel takes it. `man rustorium` finds it if the programs of the
environment are on the PATH.
"""

import re
from collections.abc import Iterator
from typing import Any

import typer

from rustorium import __version__
from rustorium.cli.app import app
from rustorium.cli.grouped import SECTIONS

ENVIRONMENT = {
    "RUSTORIUM_NET": "Default of --net.",
    "RUSTORIUM_HOME": "Default of --home.",
    "RUSTORIUM_PASSPHRASE_FILE": "Default of --passphrase-file.",
    "RUSTORIUM_TOKEN_FILE, RUSTORIUM_ADMIN_TOKEN_FILE": "Defaults of --token-file, for gateways and for admin planes.",
    "RUSTORIUM_CA_FILE, RUSTORIUM_CLIENT_CERTIFICATE, RUSTORIUM_CLIENT_KEY": "Defaults of the TLS options.",
    "RUSTORIUM_SECTION__KEY": "A setting of a node in place of that in config.toml, such as RUSTORIUM_LOG__LEVEL.",
    "NO_COLOR": "No colours and no progress bars.",
}
FILES = {
    "HOME/config.toml": "The settings of a node (`config show`).",
    "HOME/genesis.json": "The genesis of its chain.",
    "HOME/log/node.jsonl": "Its log (`logs aggregate`).",
    "devnet.json": "Endpoints, genesis and accounts of a net, for --net.",
}
CODES = {
    0: "Success.",
    1: "Failed.",
    2: "Wrong usage.",
    3: "Not found.",
    4: "Verification failed.",
    5: "Not ready.",
    130: "Interrupted.",
}


def escaped(text: str) -> str:
    """Returns text that roff prints as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"[^\x00-\x7f]", lambda one: f"\\[u{ord(one[0]):04X}]", text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def quoted(text: str) -> str:
    """Returns text as one argument of a roff macro."""
    return '"' + escaped(text).replace('"', "\\(dq") + '"'


def tagged(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Yields a list of names and what they mean."""
    for name, text in rows:
        yield f".TP\n.B {quoted(name)}\n{escaped(' '.join(text.split()))}"


def paragraphs(text: str | None) -> Iterator[str]:
    """Yields a help text, paragraph by paragraph."""
    for number, part in enumerate(re.split(r"\n\s*\n", (text or "").strip())):
        yield (".PP\n" if number else "") + escaped(" ".join(part.split()))


def leaves(command: Any, context: Any, words: tuple[str, ...]) -> Iterator[str]:
    """Yields a command, or each command of a group, with its arguments and options."""
    if not hasattr(command, "commands"):
        yield from leaf(command, context, words)
        return
    if words and command.invoke_without_command:
        yield from leaf(command, context, words)
    for name, one in command.commands.items():
        yield from leaves(one, type(context)(one, info_name=name, parent=context), (*words, name))


def leaf(command: Any, context: Any, words: tuple[str, ...]) -> Iterator[str]:
    """Yields a command with its arguments and options."""
    pieces = [piece for one in command.params for piece in one.get_usage_pieces(context)]
    yield f".SS {quoted(' '.join((*words, '[OPTIONS]', *pieces)))}"
    yield from paragraphs(command.help)
    yield from tagged(row for one in command.params if (row := one.get_help_record(context)) is not None)


def page() -> str:
    """Returns the page in roff."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("rustorium", ["schema"], resilient_parsing=True)
    parts = [f'.\\" written by `just reference`: change the code instead\n.TH RUSTORIUM 1 "" "rustorium {__version__}"']
    parts.append(".SH NAME\nrustorium, rustorium\\-node \\- run a validator, send transactions, read the ledger")
    parts.append(".SH SYNOPSIS\n.B rustorium\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]")
    parts.append(".SH DESCRIPTION")
    parts += paragraphs(
        "Rustorium is a Byzantine-fault-tolerant ledger. rustorium and rustorium-node are one program. With -o json or "
        "-o jsonl a command prints data in a documented shape (rustorium schema COMMAND). An error is one sentence on "
        "standard error."
    )
    parts.append(".SH OPTIONS")
    parts += tagged(row for one in root.params if (row := one.get_help_record(context)) is not None)
    for title, names in SECTIONS.items():
        parts.append(f".SH {quoted(title.upper())}")
        for name in names:
            command = root.commands[name]
            parts += leaves(command, type(context)(command, info_name=name, parent=context), (name,))
    parts.append(".SH EXIT STATUS")
    parts += tagged((str(code), text) for code, text in CODES.items())
    parts.append(".SH ENVIRONMENT")
    parts += tagged(iter(ENVIRONMENT.items()))
    parts.append(".SH FILES")
    parts += tagged(iter(FILES.items()))
    return "\n".join(parts) + "\n"
