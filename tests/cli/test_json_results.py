"""Every command has one shape for `-o json`, and all errors have one, both as JSON schemas.

`json_results.check` compares the output of commands with their schemas in every test that runs them.
"""

import json
from typing import Any

import pytest
from cli_runner import Cli

from json_results import assert_fits, commands, faults
from rustorium.cli.results.base import ErrorResult
from rustorium.cli.results.table import SHAPES, error_schema, schema_of, shape_of
from rustorium.errors import NotFound


def test_each_command_that_prints_json_has_a_shape_and_no_other_has() -> None:
    printing = {name for name, one in commands() if "output" in {p.name for p in one.params}}
    assert printing == {name.partition(" --")[0] for name in SHAPES}


def test_every_shape_has_a_schema() -> None:
    for shape in SHAPES.values():
        schema = schema_of(shape)
        json.dumps(schema)
        faults([] if schema.get("type") == "array" else {}, schema, schema.get("$defs", {}))
    assert ErrorResult.__doc__ in json.dumps(error_schema(), ensure_ascii=False)


def test_the_longest_matching_command_decides() -> None:
    assert shape_of(["recover", "manual", "--home", "h"])[0] == "recover manual"
    assert shape_of(["recover", "manual", "--home", "h", "--undo", "--dry-run"])[0] == "recover manual --undo --dry-run"
    assert shape_of(["tx", "put", "tx", "status"])[0] == "tx put"
    with pytest.raises(NotFound):
        shape_of(["start"])


GOOD = {"checks": "value", "nested": [{"a": 1, "b": None}], "ratio": 1}
SCHEMA = {
    "type": "object",
    "required": ["checks"],
    "additionalProperties": False,
    "properties": {
        "checks": {"enum": ["value", "other"]},
        "ratio": {"type": "number"},
        "nested": {"type": "array", "items": {"$ref": "#/$defs/One"}},
    },
}
PARTS = {
    "One": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "required": ["a"],
        "additionalProperties": False,
    }
}


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, None),
        ({"checks": "none"}, "none of"),
        ({"more": 1}, "doesn't name"),
        ({"ratio": True}, "no number"),
        ({"nested": [{"a": 1.5}]}, r"nested\[0\].a is 1.5"),
        ({"nested": [{"b": "x"}]}, "lacks a"),
        ({"nested": [{"a": 1, "b": 7}]}, "fits none of 2"),
    ],
)
def test_values_that_do_not_fit_a_schema_are_found(changed: dict[str, Any], fault: str | None) -> None:
    schema = SCHEMA | {"$defs": PARTS}
    if fault is None:
        assert_fits(GOOD, schema)
    else:
        with pytest.raises(AssertionError, match=fault):
            assert_fits(GOOD | changed, schema)


def test_schema_prints_what_a_command_and_an_error_look_like(cli: Cli) -> None:
    one = json.loads(cli("schema", "tx", "put").out)
    assert one == schema_of(SHAPES["tx put"])
    for name, shape in SHAPES.items():
        assert json.loads(cli("schema", *name.split()).out) == schema_of(shape), name
    assert json.loads(cli("schema", "error").out) == error_schema()
    every = json.loads(cli("schema").out)
    assert every.keys() == {*SHAPES, "error"}
    cli("schema", "start").fails(3, "`start`", "--help")


@pytest.mark.parametrize(
    "line",
    ["tx put -o json", "keys show /nowhere -o jsonl", "query --account rs1x k --node http://127.0.0.1:1 -o json"],
)
def test_an_error_has_one_shape(cli: Cli, line: str) -> None:
    ended = cli(*line.split())
    assert ended.out == ""
    told = json.loads(ended.err)
    assert_fits(told, error_schema())
    assert told["exit_code"] == ended.code
