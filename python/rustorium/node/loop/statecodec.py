"""Writes a replica's state as plain values and restores it, so that a bounded log can be replayed from its middle.

Invariants: only classes of `rustorium.consensus` are made or filled, never by calling them; objects reached twice stay
one object; equal state gives equal values.
"""

import sys
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

PACKAGE = "rustorium.consensus."


def freeze(root: object) -> list[Any]:
    """Returns all objects reachable from `root` as a list of [class, fields]; entry 0 is the root. Errors:
    TypeError."""
    return _Freezer().run(root)


def thaw(root: object, state: list[Any]) -> None:
    """Restores in `root` the state that `freeze` took from an object of its class. Errors: TypeError, ValueError,
    LookupError."""
    _Thawer(state).run(root)


class _Freezer:
    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._objects: list[Any] = []
        self._kept: list[object] = []

    def run(self, root: object) -> list[Any]:
        self._object(root)
        return self._objects

    def _object(self, value: object) -> int:
        if id(value) not in self._numbers:
            _allowed(type(value))
            number = self._numbers[id(value)] = len(self._objects)
            self._kept.append(value)
            self._objects.append(None)
            fields = {name: self._value(getattr(value, name)) for name in _fields(value) if hasattr(value, name)}
            self._objects[number] = [f"{type(value).__module__}:{type(value).__qualname__}", fields]
        return self._numbers[id(value)]

    def _value(self, value: Any) -> Any:
        if value is None or type(value) in (bool, int, bytes, str, float):
            return value
        if isinstance(value, Enum):
            _allowed(type(value))
            return ["enum", f"{type(value).__module__}:{type(value).__qualname__}", value.name]
        if isinstance(value, dict):
            return ["dict", [[self._value(key), self._value(item)] for key, item in value.items()]]
        for tag, kind in (("list", list), ("tuple", tuple), ("deque", deque)):
            if type(value) is kind:
                return [tag, [self._value(item) for item in value]]
        if type(value) in (set, frozenset):
            return [type(value).__name__, sorted((self._value(item) for item in value), key=repr)]
        return ["object", self._object(value)]


class _Thawer:
    def __init__(self, state: list[Any]) -> None:
        self._state = state
        self._objects: dict[int, object] = {}

    def run(self, root: object) -> None:
        name, _ = self._state[0]
        if _find(name) is not type(root):
            raise TypeError(f"the state is of {name}")
        self._objects[0] = root
        self._fill(0)

    def _fill(self, number: int) -> None:
        target = self._objects[number]
        for name, value in self._state[number][1].items():
            if name not in _fields(target):
                raise TypeError(f"{type(target).__name__} has no field {name}")
            object.__setattr__(target, name, self._value(value))

    def _object(self, number: int) -> object:
        if number not in self._objects:
            self._objects[number] = object.__new__(_find(self._state[number][0]))
            self._fill(number)
        return self._objects[number]

    def _value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        tag = value[0]
        if tag == "object":
            return self._object(value[1])
        if tag == "enum":
            return _find(value[1])[value[2]]
        if tag == "dict":
            return {self._value(key): self._value(item) for key, item in value[1]}
        kinds: dict[str, Callable[[Any], Any]] = {
            "list": list, "tuple": tuple, "deque": deque, "set": set, "frozenset": frozenset,
        }  # fmt: skip
        return kinds[tag](self._value(item) for item in value[1])


def _fields(value: object) -> list[str]:
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return slots + list(getattr(value, "__dict__", ()))


def _allowed(kind: type) -> None:
    if not (kind.__module__ + ".").startswith(PACKAGE):
        raise TypeError(f"{kind.__module__}.{kind.__qualname__} is not part of the core's state")


def _find(name: str) -> Any:
    module, _, kind = name.partition(":")
    if not (module + ".").startswith(PACKAGE) or module not in sys.modules:
        raise TypeError(f"{name} is not part of the core's state")
    found = getattr(sys.modules[module], kind)
    if not isinstance(found, type):
        raise TypeError(f"{name} is no class")
    _allowed(found)
    return found
