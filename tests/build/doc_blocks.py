"""Parses the documentation's pages: fenced blocks, commands, and the arguments of our own commands.

Invariants: only reads files; runs nothing.
"""

import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<tag>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:rustorium(?:-node)?|just) [^`\n]+)`")
OURS = frozenset({"rustorium", "rustorium-node"})
OPERATORS = frozenset({"&&", "||", "|", ";", "&"})
RECIPE = re.compile(r"^(?P<name>[a-z][a-z-]*)(?P<parameters>(?: [^:\n]+)?):(?P<rest>[^=\n].*|)$", re.MULTILINE)
SOURCES = re.compile(r"(?:benches|tools|tests)/[\w/.]+")
MORE_SOURCES = {"rustorium-fuzz": "tests/fuzz/src", "tests/fuzz/guided/run": "tests/fuzz/guided/run"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its first line, and its declared kind."""

    page: str
    line: int
    tag: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Returns every page that people write. The generated pages are compared with the code elsewhere."""
    found = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("crates/*/README.md"),
        *ROOT.glob("tests/**/*.md"),
    ]
    names = sorted(str(path.relative_to(ROOT)) for path in found)
    return [name for name in names if not name.startswith("docs/reference/")]


def blocks(page: str, content: str | None = None) -> list[Block]:
    """Returns a page's fenced blocks in order."""
    text = (ROOT / page).read_text() if content is None else content
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["tag"].strip(), found["text"])
        for found in FENCE.finditer(text)
    ]


def commands(text: str) -> Iterator[list[str]]:
    """Returns the simple commands of a shell script as lists of words, without assignments and redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(re.sub(r"(?<= )\d(?=>)", "", line), posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        skip = False
        for word in [*lexer, ";"]:
            if word in OPERATORS:
                while words and re.match(r"\w+=", words[0]):
                    del words[0]
                if words:
                    yield words
                words, skip = [], False
            elif set(word) <= set("<>&"):
                skip = True
            elif skip:
                skip = False
            else:
                words.append(word)


@cache
def program() -> Any:
    """Returns the parser of a command line."""
    from rustorium.cli.app import app

    return typer.main.get_command(app)


def fault_of_ours(words: list[str], *, whole: bool = True, app: Any = None) -> str:
    """Returns the fault of a line of `rustorium` (or another `app`), empty if there is none. `whole`: required
    arguments must be present."""
    command, path, rest = app or program(), [words[0]], list(words[1:])
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return "" if not whole and set("…") & set(rest[0]) else f"{' '.join(path)} has no command {rest[0]}"
        command = command.commands[rest[0]]
        path.append(rest.pop(0))
    if not whole:
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help", "--debug"}
        used = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        return f"{' '.join(path)} has no option {sorted(used - known)[0]}" if used - known else ""
    try:
        command.make_context(" ".join(path), rest)
    except Exception as error:
        return f"{' '.join(path)}: {getattr(error, 'message', None) or error}"
    return ""


@cache
def recipes() -> dict[str, tuple[str, str]]:
    """Returns the parameters and the body of each recipe."""
    text = (ROOT / "justfile").read_text()
    found = list(RECIPE.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return {
        one["name"]: (one["parameters"].strip(), text[one.end() : end]) for one, end in zip(found, ends, strict=True)
    }


def fault_of_just(words: list[str]) -> str:
    """Returns the fault of a line of `just`, empty if there is none."""
    if len(words) == 1:
        return ""
    name, given = words[1], words[2:]
    if name.startswith("--"):
        return ""
    if name not in recipes():
        return f"there is no recipe {name}"
    parameters, body = recipes()[name]
    names = parameters.split()
    if not any(one.startswith(("*", "+")) for one in names) and len(given) > len(names):
        return f"just {name} takes {len(names)} arguments"
    text = body + sources(body)
    if inner := re.search(r"rustorium\.cli ((?:[a-z][a-z-]* )+)", body):
        text += " ".join(f'"{option}"' for option in options(inner[1].split()))
    for word in given:
        if word.startswith("--") and not re.search(rf"[\"' ]{re.escape(word.partition('=')[0])}[\"' )]", text):
            return f"just {name} has no option {word}"
    return ""


def options(path: list[str]) -> Iterator[str]:
    command = program()
    for word in path:
        command = command.commands[word]
    for one in command.params:
        yield from one.opts


def sources(body: str) -> str:
    """Returns the text of the sources that a recipe runs."""
    named = {ROOT / name for name in SOURCES.findall(body)}
    named |= {ROOT / place for mark, place in MORE_SOURCES.items() if mark in body}
    files = [file for path in named for file in ([path] if path.is_file() else path.rglob("*.rs"))]
    return "".join(file.read_text() for file in files)


def fault_of_script(words: list[str]) -> str:
    """Returns the fault of a line that runs a Typer program of this repository, empty if there is none."""
    if not (ROOT / words[1]).is_file():
        return f"there is no file {words[1]}"
    app = runpy.run_path(str(ROOT / words[1]))["app"]
    return fault_of_ours(words[1:], app=typer.main.get_command(app))
