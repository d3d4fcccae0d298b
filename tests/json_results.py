"""Compares the output of commands with `-o json` with their schemas, in all tests that run them.

Invariants: an unknown part of a schema is an error, never ignored.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from rustorium.cli.app import app
from rustorium.cli.failure import wants_json
from rustorium.cli.results.table import Form, error_schema, schema_of, shape_of
from rustorium.errors import NotFound

KNOWN = {
    "$schema", "$ref", "$defs", "title", "description", "default", "type", "anyOf", "enum", "const", "properties",
    "required", "additionalProperties", "items",
}  # fmt: skip
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Returns each command of the parser by its words, groups that are commands by themselves included."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        if not hasattr(command, "commands") or command.invoke_without_command:
            yield " ".join((*path, name)), command


def faults(value: Any, schema: Mapping[str, Any], parts: Mapping[str, Any], at: str = "it") -> list[str]:
    """Returns the parts of a value that don't fit a schema, with their places; empty if all fit."""
    unknown = schema.keys() - KNOWN
    assert not unknown, f"this test doesn't know {unknown} of JSON schemas"
    if "$ref" in schema:
        return faults(value, parts[schema["$ref"].rsplit("/", 1)[-1]], parts, at)
    if "anyOf" in schema:
        each = [faults(value, one, parts, at) for one in schema["anyOf"]]
        return [] if [] in each else [f"{at} fits none of {len(each)}: {min(each, key=len)}"]
    if "const" in schema and value != schema["const"]:
        return [f"{at} is {value!r}, not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at} is {value!r}, none of {schema['enum']}"]
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        return [f"{at} is {value!r}, no {kind}"]
    if isinstance(value, dict):
        return _object(value, schema, parts, at)
    if isinstance(value, list):
        return [
            one for n, item in enumerate(value) for one in faults(item, schema.get("items") or {}, parts, f"{at}[{n}]")
        ]
    return []


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _object(value: dict[str, Any], schema: Mapping[str, Any], parts: Mapping[str, Any], at: str) -> list[str]:
    named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{at} lacks {name}" for name in schema.get("required", ()) if name not in value]
    for name, one in value.items():
        if name in named:
            found += faults(one, named[name], parts, f"{at}.{name}")
        elif others is False:
            found.append(f"{at} has {name}, which its schema doesn't name")
        elif isinstance(others, dict):
            found += faults(one, others, parts, f"{at}.{name}")
    return found


def assert_fits(value: Any, schema: Mapping[str, Any]) -> None:
    """Checks that the value fits the schema."""
    wrong = faults(value, schema, schema.get("$defs", {}))
    assert not wrong, "; ".join(wrong)


def check(line: Sequence[str], out: str, err: str) -> None:
    """Checks that the output of a command with `-o json` or `-o jsonl` fits the schema of its result, and an error fits
    that of errors."""
    if not wants_json(line):
        return
    last = err.strip().rpartition("\n")[2]
    if last.startswith('{"error"'):
        assert_fits(json.loads(last), error_schema())
    if not out.strip():
        return
    try:
        _, shape = shape_of(_words(line))
    except NotFound:
        return
    schema = schema_of(shape)
    try:
        whole, lines = json.loads(out), None
    except ValueError:
        whole, lines = None, [json.loads(one) for one in out.splitlines()]
    if shape.form is Form.many and (lines is not None or not isinstance(whole, list)):
        rows = lines if lines is not None else [whole]
        assert_fits(rows, schema)
    elif shape.form is Form.lines or lines is not None:
        for one in lines if lines is not None else [whole]:
            assert_fits(one, schema)
    else:
        assert_fits(whole, schema)


def _words(line: Sequence[str]) -> list[str]:
    """Returns the words of the line from the command on, without the options before it."""
    words = [str(word) for word in line]
    while words and words[0].startswith("-"):
        words = words[2 if words[0] in ("--ca", "--client-certificate", "--client-key") else 1 :]
    return words
