"""Options that several commands share: they are the fields of a dataclass, and a command takes the dataclass.

Invariants: an option's name, help and default are written once, at the field.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any


def shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command for typer: in place of each parameter that is a dataclass it has the dataclass's fields."""
    own = signature(command)
    named = ((name, one.annotation) for name, one in own.parameters.items())
    kinds: dict[str, type] = {name: kind for name, kind in named if isinstance(kind, type) and is_dataclass(kind)}
    fields = {name: signature(kind).parameters for name, kind in kinds.items()}
    options: list[Parameter] = []
    for name, parameter in own.parameters.items():
        options += fields[name].values() if name in fields else [parameter]

    @wraps(command)
    def run(**given: Any) -> None:
        for name, kind in kinds.items():
            given[name] = kind(**{field: given.pop(field) for field in fields[name]})
        command(**given)

    # Options have no order, so one without a default may follow one with a default.
    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in options]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in options} | {"return": None}
    return run
