"""Prints the error of a failed command: one sentence with the stable code, as text or (with `-o json`) as JSON.

Invariants: errors go to standard error, so that standard output has only data; one line, never a traceback.
"""

import errno
import hashlib
import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import typer

from rustorium.plain import plain, plain_json, plain_lines

NATIVE_EXIT_CODES = {
    "usage": 2,
    "key-missing": 3,
    "not-found": 3,
    "home-missing": 3,
    "proof-refused": 4,
    "audit-refused": 4,
    "backup-damaged": 4,
    "backup-refused": 4,
    "not-ready": 5,
    "interrupted": 130,
}
GENESIS_NEEDED = (
    "nothing can be checked without the chain's genesis: add --genesis FILE, or --no-verify where the command takes it "
    "to accept the node's word"
)
FACTS = ("transaction", "failure", "operation", "retry_after_ms")
"""Attributes of errors that a script may need, in addition to the sentence."""


def wants_json(line: Sequence[str]) -> bool:
    """Returns whether a command line asks for JSON, even if it can't be parsed."""
    names = ("-o", "--output")
    values = [value for name, value in pairwise(line) if name in names]
    values += [part.removeprefix("--output=") for part in line if part.startswith("--output=")]
    values += [part[2:].removeprefix("=") for part in line if part.startswith("-o") and part not in names]
    return any(value in ("json", "jsonl") for value in values)


def explain(error: Exception, *, as_json: bool) -> int:
    """Prints an error on standard error; returns the exit code."""
    from rustorium.errors import ChainForked, GenesisNeeded, RustoriumError

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        which = error.filename or "the output"
        message = f"{which} can't be written ({error.strerror}): free some space and run it again"
        return _say(message, "disk-full", 1, error, as_json)
    if isinstance(error, RustoriumError):
        if isinstance(error, GenesisNeeded):
            return _say(GENESIS_NEEDED, error.code, error.exit_code, error, as_json)
        if isinstance(error, ChainForked):
            return _say(f"{error.message}; {_kept(error.evidence)}", error.code, error.exit_code, error, as_json)
        return _say(error.message, error.code, error.exit_code, error, as_json)
    if isinstance(error, typer.Abort):
        return _say("interrupted", "interrupted", 130, error, as_json)
    words, exit_code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
    if words is not None and isinstance(exit_code, int):
        return _parsed(error, words(), exit_code, as_json)
    if type(error).__name__ == "NativeError":
        code = str(getattr(error, "code", "failed"))
        return _say(str(error.args[0]), code, NATIVE_EXIT_CODES.get(code, 1), error, as_json)
    message = f"unexpected {type(error).__name__} ({error}): run it again with --debug and report it"
    return _say(message, "internal", 1, error, as_json)


def _parsed(error: Exception, words: str, exit_code: int, as_json: bool) -> int:
    """Prints a parser error as one sentence; a group without a command shows its help."""
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "rustorium-node")
    if type(error).__name__ == "NoArgsIsHelpError":
        if context is not None and not as_json:
            print(context.get_help(), file=sys.stderr)
            return exit_code
        words = "no command is named"
    words = " ".join(words.split()).removesuffix(".")
    end = "" if words.endswith("?") else ":"
    return _say(f"{words[:1].lower()}{words[1:]}{end} see `{path} --help`", "usage", exit_code, error, as_json)


def _kept(evidence: bytes) -> str:
    """Writes evidence of a fork to a new file in this folder; returns a clause that names the file."""
    path = Path(f"fork-{hashlib.blake2b(evidence, digest_size=4).hexdigest()}.json")
    try:
        path.write_bytes(evidence)
    except OSError as failed:
        return f"the evidence can't be written to {path.absolute()} ({failed.strerror}): run it again in another folder"
    return f"the evidence is in {path.absolute()}"


def _say(message: str, code: str, exit_code: int, error: Exception, as_json: bool) -> int:
    if as_json:
        facts = {name: getattr(error, name) for name in FACTS if hasattr(error, name)}
        fields = {"error": message, "code": code, "exit_code": exit_code} | facts
        print(plain_json(json.dumps(fields, ensure_ascii=False)), file=sys.stderr)
    elif code == "interrupted":
        print(message, file=sys.stderr)
    else:
        print(f"error: {plain_lines(message)} [{plain(code)}]", file=sys.stderr)
    return exit_code
