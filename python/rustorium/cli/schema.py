"""`schema`: the JSON schemas of what commands print."""

import json
from typing import Annotated

import typer

from rustorium.cli.output import Format, Output


def schema(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            help="The command, such as `tx put`; or `error`. Without it, the schemas of all.", metavar="COMMAND"
        ),
    ] = None,
    output: Output = Format.json,
) -> None:
    """Print the JSON schema of what a command prints with `-o json`, of its errors (`schema error`), or of all
    commands."""
    from rustorium.cli.results.table import SHAPES, error_schema, schema_of, shape_of

    if not command:
        found = {name: schema_of(shape) for name, shape in SHAPES.items()} | {"error": error_schema()}
    elif command == ["error"]:
        found = error_schema()
    else:
        found = schema_of(shape_of(command)[1])
    print(json.dumps(found, indent=None if output is Format.jsonl else 1, ensure_ascii=False))
