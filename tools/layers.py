"""Checks that every module and crate stays in its room (docs/architecture.md): imports, dependencies, sentences, sizes.

Run by `just lint`; `--write` copies each crate's sentence from its `//!` into its README and the architecture page.
A fault is one line: the place, what is wrong there, and what to do about it.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LINES_MAX = 500


@dataclass(frozen=True)
class Room:
    """A part of the Python package: which modules it has, and what these may import."""

    modules: tuple[str, ...]
    banned: frozenset[str]
    rooms: frozenset[str] | None
    """Rooms whose modules it may import besides its own; None: any."""


CLOCKS_AND_IO = frozenset(
    ["anyio", "asyncio", "os", "random", "secrets", "select", "socket", "subprocess", "threading", "time", "trio"]
)
PYTHON = {
    "PURE": Room(
        ("__version__", "types", "errors", "config", "regions", "api", "consensus", "health", "sharding"),
        CLOCKS_AND_IO | {"rustorium._native"},
        frozenset(),
    ),
    "native": Room(("_native",), frozenset(), None),
    "access": Room(("access",), frozenset({"anyio", "asyncio", "trio"}), frozenset({"PURE", "native"})),
    "zk": Room(("zk",), frozenset({"anyio", "asyncio", "trio"}), frozenset({"PURE", "native", "access"})),
    "sim": Room(("sim",), CLOCKS_AND_IO - {"random"}, frozenset({"PURE", "native"})),
    "client": Room(
        ("client",),
        frozenset({"asyncio", "trio"}),
        frozenset({"PURE", "native", "access", "zk"}),
    ),
    "observe": Room(("observe",), frozenset({"anyio", "asyncio", "trio", "rustorium.cli", "rustorium.sim"}), None),
    "node": Room(
        ("node",), frozenset({"anyio", "asyncio", "rustorium.client", "rustorium.cli", "rustorium.sim"}), None
    ),
}


@dataclass(frozen=True)
class Crate:
    """A Rust crate: its siblings, and what its sources may not speak of."""

    siblings: frozenset[str]
    silent_on: tuple[str, ...] = ()


CLOCK = r"\bSystemTime\b|\bInstant\b"
INPUT_OUTPUT = r"\bstd::(?:net|fs|thread|process)\b"
FLOATS = r"\bf(?:32|64)\b"


def _crate(siblings: str, *silent_on: str) -> Crate:
    return Crate(frozenset(siblings.split()), silent_on)


# In flow order: a crate may use those before it, and of these only the ones that are named.
RUST = {
    "types": _crate("", CLOCK, INPUT_OUTPUT, FLOATS),
    "crypto": _crate("types", CLOCK),
    "zk": _crate("types crypto", CLOCK, INPUT_OUTPUT, FLOATS),
    "state": _crate("types crypto", CLOCK, INPUT_OUTPUT, FLOATS),
    "execution": _crate("types crypto zk state", CLOCK, INPUT_OUTPUT, FLOATS),
    "light": _crate("types execution", CLOCK, INPUT_OUTPUT, FLOATS),
    "storage": _crate("types crypto state"),
    "txpool": _crate("types crypto execution", CLOCK, INPUT_OUTPUT),
    "quorum": _crate("types crypto", CLOCK, INPUT_OUTPUT),
    "signer": _crate("types crypto quorum"),
    "transport": _crate("types crypto"),
    "sync": _crate("types crypto state", CLOCK, INPUT_OUTPUT),
    "gateway": _crate("types crypto execution storage txpool transport"),
    "dataplane": _crate("types crypto zk state execution storage txpool quorum signer transport sync gateway"),
    "backup": _crate("types crypto execution state storage dataplane"),
    "sim": _crate(
        "types crypto zk state execution storage txpool quorum transport sync gateway dataplane", CLOCK, INPUT_OUTPUT
    ),
    "native": _crate(
        "types crypto zk state execution storage txpool quorum signer transport sync gateway dataplane backup sim"
    ),
}
# A library that decides where a concern lives has few users.
LIBRARIES = {
    "argon2": "crypto",
    "ark-groth16": "zk",
    "axum": "gateway",
    "cryptoki": "signer",
    "ed25519-consensus": "crypto",
    "hyper": "gateway",
    "object_store": "backup",
    "pyo3": "native",
    "quinn": "transport gateway",
    "rcgen": "transport",
    "reqwest": "backup",
    "ring": "crypto",
    "rocksdb": "storage",
    "rustls": "transport gateway backup",
    "tokio": "transport gateway dataplane backup sim native",
    "tracing-subscriber": "native",
    "utoipa": "gateway",
}


def room_of(module: str) -> str | None:
    """The room of `rustorium.a.b`, if it has one."""
    first = module.split(".")[1] if "." in module else ""
    return next((name for name, room in PYTHON.items() if first in room.modules), None)


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported anywhere in a module; `from a import b` gives `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module if node.level == 0 and node.module else "." * node.level
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Name) and node.id == "__import__":
            yield node.lineno, "importlib"


def check_python(root: Path) -> Iterator[str]:
    """Imports of the Python rooms, and a docstring in every module."""
    source = root / "python"
    for path in sorted(source.rglob("*.py")):
        where = path.relative_to(root)
        module = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(), str(path))
        if tree.body and not ast.get_docstring(tree):
            yield f"{where}:1: no docstring: say in one sentence what the module is for"
        name = room_of(module)
        if name is not None:
            yield from (f"{where}:{line}: {fault}" for line, fault in _foreign(name, PYTHON[name], tree))


def _foreign(name: str, room: Room, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for line, imported in imports(tree):
        parts = imported.split(".")
        prefixes = {".".join(parts[: length + 1]) for length in range(len(parts))}
        if prefixes & (room.banned | {"importlib"}):
            yield line, f"{name} may not import {imported}: hand the value in, or move this code to another room"
        elif imported.startswith("."):
            yield line, "relative import: write the full name, so that the layer check can read it"
        elif room.rooms is not None and parts[0] == "rustorium" and len(parts) > 1:
            other = room_of(imported)
            if other != name and other not in room.rooms:
                yield (
                    line,
                    f"{name} may import only {name} and {sorted(room.rooms) or 'nothing'} of rustorium, not {imported}",
                )


def check_rust(root: Path) -> Iterator[str]:
    """Dependencies between crates, libraries outside their crate, and words that a crate's sources may not contain."""
    for folder in sorted((root / "crates").iterdir()):
        manifest = folder / "Cargo.toml"
        if not manifest.exists():
            continue
        where, crate = manifest.relative_to(root), RUST.get(folder.name)
        if crate is None:
            yield f"{where}:1: crate `{folder.name}` has no row in tools/layers.py: add what it may use"
            continue
        described = tomllib.loads(manifest.read_text())
        for dependency in {**described.get("dependencies", {}), **described.get("build-dependencies", {})}:
            sibling = dependency.removeprefix("rustorium-")
            if sibling != dependency and sibling not in crate.siblings:
                yield f"{where}:1: `{folder.name}` may not depend on `{sibling}`: the flow is one way"
            owners = LIBRARIES.get(dependency)
            if owners is not None and folder.name not in owners.split():
                yield f"{where}:1: only {owners} may depend on `{dependency}`, not `{folder.name}`"
        for path in sorted((folder / "src").rglob("*.rs")):
            for line, word in _spoken(path.read_text(), crate.silent_on):
                yield f"{path.relative_to(root)}:{line}: `{folder.name}` may not use {word}: take it as an argument"


def _spoken(text: str, patterns: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    if not patterns:
        return
    pattern = re.compile("|".join(patterns))
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#[cfg(test)]"):
            return  # the tests of a file stand at its end
        if found := pattern.search(line.split("//")[0]):
            yield number, found.group()


def sentence(crate: Path) -> str:
    """The first paragraph of a crate's `//!`."""
    words: list[str] = []
    for line in (crate / "src" / "lib.rs").read_text().splitlines():
        if not line.startswith("//!") or line == "//!":
            break
        words.append(line.removeprefix("//!").strip())
    return " ".join(words)


def check_sentences(root: Path, write: bool = False) -> Iterator[str]:
    """Each crate's sentence is the same in its `//!`, its README and the architecture page."""
    page = root / "docs" / "architecture.md"
    for crate in sorted(path.parent for path in (root / "crates").glob("*/Cargo.toml")):
        line = sentence(crate)
        if not line.endswith(".") or len(line) < 30:
            yield f"crates/{crate.name}/src/lib.rs:1: `//!` doesn't start with a sentence that says what it owns"
            continue
        readme = crate / "README.md"
        if write:
            rest = readme.read_text().split("\n", 3)[3:] if readme.exists() else []
            readme.write_text("\n".join([f"# rustorium-{crate.name}", "", line, *rest]).rstrip("\n") + "\n")
            row = re.compile(rf"^\| `{crate.name}` \| [^|]* \|", re.MULTILINE)
            page.write_text(row.sub(f"| `{crate.name}` | {line} |".replace("\\", r"\\"), page.read_text()))
        if not readme.exists() or line not in readme.read_text().splitlines():
            yield f"crates/{crate.name}/README.md:3: not the sentence of `//!`: run `python tools/layers.py --write`"
        if f"| `{crate.name}` | {line} |" not in page.read_text():
            yield f"docs/architecture.md:1: the row of `{crate.name}` isn't its `//!`: use --write"


def check_sizes(root: Path) -> Iterator[str]:
    """No source file is longer than a sitting."""
    for folder in ("benches", "crates", "examples", "python", "tests", "tools"):
        for path in sorted(p for p in (root / folder).rglob("*") if p.suffix in (".py", ".pyi", ".rs")):
            lines = len(path.read_text().splitlines())
            if lines > LINES_MAX:
                yield f"{path.relative_to(root)}:{LINES_MAX}: {lines} lines, at most {LINES_MAX}: find the seam inside"


def check(root: Path, write: bool = False) -> list[str]:
    """Every fault below `root`."""
    return [*check_python(root), *check_rust(root), *check_sentences(root, write), *check_sizes(root)]


def main(arguments: list[str]) -> int:
    """Prints the faults; 1 when there are any."""
    faults = check(Path(__file__).resolve().parents[1], "--write" in arguments)
    print("\n".join(faults) or "layers: every module and crate is in its room")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
