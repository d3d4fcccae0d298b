"""Writes docs/reference and the manual page from the code: commands' help, the HTTP API, names of Python, limits.

`python tools/reference.py` writes the pages, `--check` says which isn't what the code makes (1 then). Needs a built
extension, and no node.
"""

import ast
import importlib
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "100"  # of the help texts, wherever this runs

import failures_page
import limits_page
import man_page
import typer
from typer.testing import CliRunner

from rustorium.cli.app import app
from rustorium.cli.results.table import SHAPES, error_schema, schema_of

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "docs/reference"
OPENAPI = "crates/gateway/openapi.json"
MAN = "packaging/data/share/man/man1"
WRITTEN = "<!-- written by `just reference`: change the code instead -->\n"
PYTHON = {
    "rustorium.client": (
        "Client",
        "AsyncClient",
        "LightClient",
        "Key",
        "SigningFile",
        "Tls",
        "amount_of",
        "bytes_to_text",
        "text_to_bytes",
    ),
    "rustorium.client.operations": None,
    "rustorium.client.wallet": ("Wallet", "WalletEvent", "Holding"),
    "rustorium.client.walletaio": ("AsyncWallet",),
    "rustorium.zk.groth16": None,
    "rustorium.zk.blockproofs": ("Verifier", "BlockProofs", "ProofInBlock"),
    "rustorium.zk.rollup": None,
    "rustorium.zk.ceremony": None,
    "rustorium.api": None,
    "rustorium.types": None,
    "rustorium.custody": None,
    "rustorium.reports": None,
    "rustorium.records": None,
    "rustorium.errors": None,
    "rustorium.testing": None,
    "rustorium.net.devnet": ("Devnet",),
}
"""Modules, and what is public of them; None: what they define that has no underscore."""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields each command by its words, in the order of `--help`. A group that is a command by itself comes first."""
    for name, command in group.commands.items():
        if not hasattr(command, "commands") or command.invoke_without_command:
            yield *path, name
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


def command_line() -> str:
    """Returns every command's help."""
    runner, parts = CliRunner(), ["# The command line\n", WRITTEN]
    parts.append(
        "`rustorium` and `rustorium-node` are one program. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, "
        "4 verification failed, 5 not ready, 130 interrupted. `--debug` anywhere on a line shows tracebacks.\n\n"
        "1 is also a wrong or missing passphrase, and a transaction of this command that failed. 3 is a home, key "
        "file, account, key, block or transaction that doesn't exist. `tx status` of a failed transaction ends with 0. "
        "The exit code of `status check` and `doctor` is their verdict. `man rustorium` has this reference, too.\n"
    )
    for words in commands(typer.main.get_command(app)):
        text = runner.invoke(app, [*words, "--help"], prog_name="rustorium-node", color=False).output.strip()
        text = "\n".join(line.rstrip() for line in text.splitlines())
        parts.append(f"## {' '.join(words)}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def linked(name: str) -> str:
    """Returns a link to a type of the same page."""
    return f"[{name}](#{name.lower()})"


def bold(name: str) -> str:
    """Returns a type's name where the page has no part of its own for it."""
    return f"**{name}**"


def schema_text(schema: dict[str, Any], named: Callable[[str], str] = linked) -> str:
    """Describes a type in a word or two; `named` writes the name of another type."""
    if "$ref" in schema:
        return named(schema["$ref"].rsplit("/", 1)[-1])
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " or ".join(schema_text(one, named) for one in schema[several])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(schema_text({**schema, "type": one}, named) for one in kind)
    if kind == "array":
        return f"list of {schema_text(schema.get('items') or {}, named)}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    return f"`{schema['const']}`" if "const" in schema else str(kind)


def line(text: str | None) -> str:
    """Formats text for a table cell."""
    return " ".join((text or "").split()).replace("|", "\\|")


def http() -> str:
    """Returns the paths and types of the OpenAPI document."""
    document = json.loads((ROOT / OPENAPI).read_text())
    parts = ["# The HTTP API\n", WRITTEN, line(document["info"]["description"]) + "\n"]
    parts.append("Each node serves this as `/openapi.json`, and as a page to try it at `/docs`.\n")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"## {method.upper()} {path}\n")
            said = [operation.get("summary"), operation.get("description")]
            parts += [f"{text.strip()}\n" for text in said if text]
            if parameters := operation.get("parameters"):
                rows = [
                    f"| `{one['name']}` | {one['in']}{', required' if one.get('required') else ''} "
                    f"| {schema_text(one.get('schema', {}))} | {line(one.get('description'))} |"
                    for one in parameters
                ]
                parts.append("\n".join(["| parameter | in | type | |", "|---|---|---|---|", *rows]) + "\n")
            if body := operation.get("requestBody"):
                kinds = [f"`{kind}`: {schema_text(one.get('schema', {}))}" for kind, one in body["content"].items()]
                parts.append(f"Body: {'; '.join(kinds)}\n")
            parts.append("\n".join(answers(operation)) + "\n")
    parts.append("## Types\n")
    schemas = document.get("components", {}).get("schemas", {})
    for name, schema in schemas.items():
        parts.append("\n".join(type_lines(name, schema, schemas)) + "\n")
    return "\n".join(parts)


def answers(operation: dict[str, Any]) -> Iterator[str]:
    """Yields the table of a path's responses."""
    yield "| answer | | |\n|---|---|---|"
    for status, answer in operation["responses"].items():
        kinds = [f"`{kind}`: {schema_text(one.get('schema', {}))}" for kind, one in answer.get("content", {}).items()]
        yield f"| {status} | {line(answer.get('description'))} | {'; '.join(kinds)} |"


def type_lines(name: str, schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """Yields a type and its fields, with those of the types among `schemas` that it is made of."""
    yield f"### {name}\n"
    if text := schema.get("description"):
        yield f"{text.strip()}\n"
    if kinds := [(kind, one) for one in schema.get("oneOf", ()) if (kind := kind_of(one))]:
        yield "| `type` | field | type | |\n|---|---|---|---|"
        for kind, one in kinds:
            yield f"| `{kind}` | | | {line(one.get('description'))} |"
            rows = {field: part for field, part in one["properties"].items() if field != "type"}
            yield from (f"| {row}" for row in field_rows(rows, set(one.get("required", ()))))
        return
    properties: dict[str, Any] = dict(schema.get("properties", {}))
    required = set(schema.get("required", ()))
    for part in schema.get("allOf", []):
        whole = schemas[part["$ref"].rsplit("/", 1)[-1]] if "$ref" in part else part
        properties.update(whole.get("properties", {}))
        required.update(whole.get("required", ()))
    if not properties:
        yield schema_text(schema)
        return
    yield "| field | type | |\n|---|---|---|"
    yield from field_rows(properties, required)


def kind_of(schema: dict[str, Any]) -> str:
    """Returns the word by which a value says that it is of this kind; empty if there is none."""
    words = schema.get("properties", {}).get("type", {}).get("enum", ())
    return str(words[0]) if len(words) == 1 else ""


def field_rows(properties: dict[str, Any], required: set[str]) -> Iterator[str]:
    """Yields a table's row for each field."""
    for field, one in properties.items():
        optional = "" if field in required else "may be absent. "
        yield f"| `{field}` | {schema_text(one)} | {optional}{line(one.get('description'))} |"


def python() -> str:
    """Returns signatures and docstrings of the public modules."""
    parts = ["# Python\n", WRITTEN]
    parts.append("`Client` has the methods of `AsyncClient`, blocking; both check what nodes say.\n")
    for module_name, public in PYTHON.items():
        module = importlib.import_module(module_name)
        parts.append(f"## {module_name}\n\n{inspect.getdoc(module) or ''}\n")
        names = public or [name for name, one in vars(module).items() if is_public(one, module_name, name)]
        for name in names:
            parts += described(name, getattr(module, name))
    return "\n".join(parts)


def is_public(one: object, module: str, name: str) -> bool:
    """Returns whether an object is the module's own and public. Former names of an object aren't."""
    is_code = inspect.isclass(one) or inspect.isfunction(one)
    return not name.startswith("_") and is_code and one.__module__ == module and one.__name__ == name


def source(one: Any) -> Any:
    """Returns the statement that defines an object as source text, whatever this Python would print for a type."""
    return ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]


def signature(function: Any) -> str:
    """Returns a function's signature as it is written, without `self`."""
    node = source(function)
    for arguments in (node.args.posonlyargs, node.args.args):
        if arguments and arguments[0].arg in ("self", "cls"):
            del arguments[0]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){returns}"


def fields(one: type) -> Iterator[str]:
    """Yields a dataclass's fields, each with the string below it."""
    body = source(one).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = f" = {ast.unparse(node.value)}" if node.value else ""
            text = after.value if isinstance(after, ast.Expr) else None
            said = f": {line(text.value)}" if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""
            yield f"- `{node.target.id}: {ast.unparse(node.annotation)}{value}`{said}"


def described(name: str, one: Any) -> Iterator[str]:
    """Yields a function, or a class with its methods."""
    yield f"### {name}\n"
    if not inspect.isclass(one):
        yield f"```python\n{name}{signature(one)}\n```\n"
    elif issubclass(one, BaseException):
        yield f"Code `{one.code}`, exit code {one.exit_code}.\n"  # type: ignore[attr-defined]
    elif "__init__" in vars(one) and not is_dataclass(one) and not getattr(one, "_is_protocol", False):
        yield f"```python\n{name}{signature(one.__init__).removesuffix(' -> None')}\n```\n"
    # a dataclass without a docstring has its signature for one
    own = one.__doc__ or ""
    if own and not own.startswith(f"{name}("):
        yield f"{inspect.cleandoc(own)}\n"
    listed = [*(fields(one) if is_dataclass(one) else ()), *methods(one)] if inspect.isclass(one) else []
    if listed:
        yield "\n".join(listed) + "\n"


def methods(one: type) -> Iterator[str]:
    """Public methods and properties, also those of this package's classes below."""
    for name in sorted(dir(one)):
        found = inspect.getattr_static(one, name)
        owner = next((base for base in one.__mro__ if name in vars(base)), object)
        if name.startswith("_") or not owner.__module__.startswith("rustorium") or issubclass(one, BaseException):
            continue
        function = getattr(found, "__func__", found)
        if isinstance(found, property):
            yield f"- `{name}`: {line(inspect.getdoc(found))}"
        elif inspect.isfunction(function):
            awaited = "await " if inspect.iscoroutinefunction(function) else ""
            yield f"- `{awaited}{name}{signature(function)}`: {line(inspect.getdoc(function))}"


def json_results() -> str:
    """The shape of each command's result with `-o json`."""
    parts = ["# Results as JSON\n", WRITTEN]
    parts.append(
        "With `-o json` a command prints one JSON value on standard output, and with `-o jsonl` one object a line. An "
        "error is one object, on the last line of standard error. `rustorium schema COMMAND` prints the JSON schema "
        "of a result, `rustorium schema error` that of an error. Later releases may add fields.\n"
    )
    parts += [f"## Errors\n\n{result_types(error_schema())}"]
    for name, shape in SHAPES.items():
        parts.append(f"## {name}\n\nPrints {shape.form.value}.\n\n{result_types(schema_of(shape))}")
    return "\n".join(parts)


def result_types(schema: dict[str, Any]) -> str:
    """Each type of the objects that a command prints, with its fields, and the types of these."""
    defs: dict[str, Any] = schema.get("$defs", {})
    return "\n".join(result_type(defs[name]) for name in defs) if defs else "A JSON schema.\n"


def result_type(one: dict[str, Any]) -> str:
    """A type's sentence and the table of its fields."""
    required = set(one.get("required", ()))
    rows = [
        f"| `{field}` | {schema_text(kind, bold)} | {'' if field in required else 'may be absent'} |"
        for field, kind in one.get("properties", {}).items()
    ]
    more = "" if one.get("additionalProperties") is False else " There are further fields."
    table = "\n".join(["| field | type | |", "|---|---|---|", *rows]) + "\n" if rows else ""
    return f"**{one['title']}**: {line(one.get('description'))}{more}\n\n{table}"


PAGES = {
    f"{REFERENCE}/cli.md": command_line,
    f"{REFERENCE}/json.md": json_results,
    f"{REFERENCE}/http.md": http,
    f"{REFERENCE}/python.md": python,
    f"{REFERENCE}/limits.md": lambda: limits_page.page(WRITTEN),
    f"{REFERENCE}/failures.md": lambda: failures_page.page(WRITTEN),
    f"{MAN}/rustorium.1": man_page.page,
    f"{MAN}/rustorium-node.1": lambda: ".so man1/rustorium.1",
}


def main() -> None:
    """Writes, or compares."""
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make().rstrip() + "\n"
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what the code makes; run `just reference`")


if __name__ == "__main__":
    main()
