"""JSON as the files of clients have it: each field once, and no numbers that JSON doesn't have.

Invariants: PURE.
"""

import json


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is there twice")
    return fields


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
"""Its errors are ValueError, and RecursionError for content that is nested too deeply."""


def is_same(one: object, other: object) -> bool:
    """Returns whether two values are the same JSON. Python's `==` takes 5.0 for 5 and false for 0."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
