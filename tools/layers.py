"""Checks that every module and crate stays in its room (docs/architecture.md): imports, dependencies, sentences, sizes.

Run by `just lint`; `--write` copies each crate's sentence from its `//!` into its README and the architecture page, and
makes that page's table of Python.
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
    """Names below `rustorium`; a longer one goes before a shorter one."""
    rooms: frozenset[str]
    """Other rooms whose modules it may import; it does import each."""
    banned: frozenset[str] = frozenset()
    """Modules that it may not import."""


def _room(modules: str, rooms: str, banned: frozenset[str] = frozenset({"anyio", "asyncio", "trio"})) -> Room:
    return Room(tuple(modules.split()), frozenset(rooms.split()), banned)


CLOCKS_AND_IO = frozenset(
    ["anyio", "asyncio", "os", "random", "secrets", "select", "socket", "subprocess", "threading", "time", "trio"]
)
ON_TRIO = frozenset({"anyio", "asyncio"})
# In flow order: a room may use those before it, and of these only the ones that are named.
PYTHON = {
    "PURE": _room(
        "__version__ types custody records reports errors failures arguments config logsection signersection regions "
        "ranges api consensus health sharding geo plain",
        "",
        CLOCKS_AND_IO,
    ),
    "native": _room("_native", ""),
    "logs": _room("logs", "PURE native"),
    "access": _room("access", "PURE native"),
    "zk": _room("zk", "PURE native access"),
    "client": _room("client", "PURE native access zk", frozenset({"asyncio", "trio"})),
    "hall": _room("__init__", "client"),
    "former names": _room("ceremony rollup", "zk"),
    "home": _room("home", "PURE native access client"),
    "node": _room("node", "PURE", ON_TRIO),
    "node.admin": _room("node.admin", "PURE native access home node", ON_TRIO),
    "node.loop": _room("node.loop", "PURE native logs access home node node.admin", ON_TRIO),
    "node.recovery": _room("node.recovery", "PURE native logs access home node.admin node.loop", ON_TRIO),
    "net": _room("net", "PURE native access client home node.admin"),
    "observe": _room("observe", "PURE native access home net node.admin node.loop"),
    "sim": _room("sim", "PURE native", CLOCKS_AND_IO - {"random"}),
    "model": _room("model", "PURE sim", CLOCKS_AND_IO - {"random"}),
    "testing": _room("testing", "net sim"),
    "cli": _room(
        "cli",
        "PURE native logs access zk client home node.admin node.loop node.recovery net observe sim",
        frozenset({"asyncio"}),
    ),
}
ROOMS = "| module | may import | owns |\n|---|---|---|\n"
"""The text before the table of Python in the architecture page."""
SOURCES = {"python": "rustorium", "tests": "model"}
"""Folders with modules of rooms, and the package in each."""


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
    "zk": _crate("types", CLOCK, INPUT_OUTPUT, FLOATS),
    "state": _crate("types", CLOCK, INPUT_OUTPUT, FLOATS),
    "execution": _crate("types crypto zk state", CLOCK, INPUT_OUTPUT, FLOATS),
    "noschema": _crate("", CLOCK, INPUT_OUTPUT, FLOATS),
    "api": _crate("types crypto execution noschema", CLOCK, INPUT_OUTPUT, FLOATS),
    "light": _crate("types execution api", CLOCK, INPUT_OUTPUT, FLOATS),
    "storage": _crate("types crypto"),
    "txpool": _crate("types crypto execution", CLOCK, INPUT_OUTPUT),
    "quorum": _crate("types crypto", CLOCK, INPUT_OUTPUT),
    "signer": _crate("types crypto quorum"),
    "transport": _crate("types crypto"),
    "sync": _crate("types crypto state", CLOCK, INPUT_OUTPUT),
    "shard": _crate("types crypto execution storage txpool quorum signer sync", CLOCK, INPUT_OUTPUT),
    "gateway": _crate("types crypto api noschema transport"),
    "stages": _crate("types crypto state execution api storage txpool quorum sync shard"),
    "load": _crate("types crypto api transport"),
    "node": _crate("types crypto state execution api storage txpool quorum signer transport sync gateway shard stages"),
    "backup": _crate("types crypto execution api state storage stages"),
    "sim": _crate("types crypto state execution api storage txpool quorum sync shard stages", CLOCK, INPUT_OUTPUT),
    "native": _crate(
        "types crypto zk execution api storage txpool transport gateway load shard stages node backup sim signer"
    ),
}
# Links, the clients' servers and the shard meet in `node` alone. `native` wraps every room for Python.
APART = frozenset({"transport", "gateway", "shard"})
JOINED_BY = frozenset({"node", "native"})
# A library that decides where a concern lives has few users.
LIBRARIES = {
    "argon2": "crypto",
    "ark-groth16": "zk",
    "axum": "gateway",
    "cryptoki": "signer",
    "ed25519-zebra": "crypto",
    "hyper": "gateway load",
    "object_store": "backup",
    "pyo3": "native",
    "quinn": "transport gateway load",
    "rcgen": "transport",
    "reqwest": "backup",
    "ring": "crypto",
    "rocksdb": "storage",
    "rustls": "transport gateway backup",
    "tokio": "transport gateway stages load node backup sim",
    "tracing-subscriber": "native",
    "utoipa": "api gateway",
}


def room_of(module: str) -> str | None:
    """The room of `rustorium.a.b` or `model.a`, if it has one."""
    parts = module.split(".")
    if parts[0] == "rustorium":
        parts = parts[1:] or ["__init__"]
    for length in range(len(parts), 0, -1):
        first = ".".join(parts[:length])
        for name, room in PYTHON.items():
            if first in room.modules:
                return name
    return None


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


def modules(root: Path) -> Iterator[tuple[Path, str, ast.Module]]:
    """Path, full name and tree of every module that belongs to a room."""
    for folder, package in SOURCES.items():
        for path in sorted((root / folder / package).rglob("*.py")):
            name = ".".join(path.relative_to(root / folder).with_suffix("").parts).removesuffix(".__init__")
            yield path.relative_to(root), name, ast.parse(path.read_text(), str(path))


def check_python(root: Path) -> Iterator[str]:
    """A row for every module, the imports that its room may have, and a docstring."""
    for where, module, tree in modules(root):
        if tree.body and not ast.get_docstring(tree):
            yield f"{where}:1: no docstring: say in one sentence what the module is for"
        name = room_of(module)
        if name is None:
            yield f"{where}:1: `{module}` has no row in tools/layers.py: put it into a room, or add what it may import"
        else:
            yield from (f"{where}:{line}: {fault}" for line, fault in _foreign(name, PYTHON[name], tree))


def _foreign(name: str, room: Room, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for line, imported in imports(tree):
        parts = imported.split(".")
        prefixes = {".".join(parts[: length + 1]) for length in range(len(parts))}
        if prefixes & (room.banned | {"importlib"}):
            yield line, f"{name} may not import {imported}: hand the value in, or move this code to another room"
        elif imported.startswith("."):
            yield line, "relative import: write the full name, so that the layer check can read it"
        elif (other := _other_room(name, imported)) is not None and other not in room.rooms:
            allowed = ", ".join(sorted(room.rooms)) or "nothing else"
            yield line, f"{name} may not import {imported}, of {other}: of rustorium it may import {allowed}"


def _other_room(name: str, imported: str) -> str | None:
    """The room of what is imported, if it is another one than `name`."""
    if imported == "rustorium" or imported.partition(".")[0] not in SOURCES.values():
        return None
    other = room_of(imported) or "no room"
    passed = imported == f"rustorium.{other}" and name.startswith(f"{other}.")  # `from rustorium.node import bridge`
    return None if other == name or passed else other


def unsound(root: Path) -> list[str]:
    """Yields faults of the tables: unused permissions, rows without a module, arrows that point back."""
    found: dict[str, set[str]] = {name: set() for name in PYTHON}
    for _, module, tree in modules(root):
        if (name := room_of(module)) is not None:
            found[name] |= {other for _, imported in imports(tree) if (other := _other_room(name, imported))}
    faults = [
        f"tools/layers.py:1: {name} may import {other} and doesn't: take that permission away"
        for name, room in PYTHON.items()
        for other in sorted(room.rooms - found[name])
    ]
    for table, kind in (({name: room.rooms for name, room in PYTHON.items()}, "room"), (_siblings(), "crate")):
        order = list(table)
        faults += [
            f"tools/layers.py:1: the {kind} {name} may use {other}, which comes after it: the flow is one way"
            for name, others in table.items()
            for other in sorted(others - set(order[: order.index(name)]))
        ]
    known = {module.removeprefix("rustorium.") for _, module, _ in modules(root)}
    faults += [
        f"tools/layers.py:1: there is no module `{module}`: take its row away"
        for room in PYTHON.values()
        for module in room.modules
        if module not in known and not module.startswith("_")
    ]
    faults += [
        f"tools/layers.py:1: `{name}` may use {' and '.join(sorted(met))}: only `node` joins two of these"
        for name, crate in RUST.items()
        if len(met := crate.siblings & APART) > 1 and name not in JOINED_BY
    ]
    used: dict[str, set[str]] = {}
    for manifest in sorted((root / "crates").glob("*/Cargo.toml")):
        used[manifest.parent.name] = dependencies(manifest)
    for name, crate in RUST.items():
        for sibling in sorted(crate.siblings):
            if f"rustorium-{sibling}" not in used.get(name, set()):
                faults.append(f"tools/layers.py:1: `{name}` may depend on `{sibling}` and doesn't: take it away")
    for library, owners in LIBRARIES.items():
        for owner in owners.split():
            if library not in used.get(owner, set()):
                faults.append(f"tools/layers.py:1: `{owner}` may depend on `{library}` and doesn't: take it away")
    return faults


def _siblings() -> dict[str, frozenset[str]]:
    return {name: crate.siblings for name, crate in RUST.items()}


def dependencies(manifest: Path) -> set[str]:
    """Returns the dependencies of a crate's sources and build script, on any platform."""
    described = tomllib.loads(manifest.read_text())
    tables = [described, *described.get("target", {}).values()]
    return {name for table in tables for kind in ("dependencies", "build-dependencies") for name in table.get(kind, {})}


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
        for dependency in sorted(dependencies(manifest)):
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
            return  # a file's tests are at its end
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
    """Checks that each crate's sentence is the same in its `//!`, its README and the architecture page."""
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


def check_rooms(root: Path, write: bool = False) -> Iterator[str]:
    """The architecture page's table of Python is made from the rows of rooms and from their modules' docstrings."""
    page = root / "docs" / "architecture.md"
    sentences = {module: ast.get_docstring(tree) or "" for _, module, tree in modules(root)}
    rows = []
    for name, room in PYTHON.items():
        for module in room.modules:
            package = module if module in SOURCES.values() else f"rustorium.{module}"
            if package not in sentences or module.startswith("_"):
                continue
            shown = f"{module.replace('.', '/')}{'/' if _is_package(root, package) else ''}"
            shown = f"tests/{shown}" if package == module else shown
            allowed = " ".join(sorted(room.rooms)) if name != "PURE" else "is PURE"
            rows.append(f"| `{shown}` | {allowed} | {' '.join(sentences[package].split(chr(10) * 2)[0].split())} |")
    before, found, after = page.read_text().partition(ROOMS)
    table, _, rest = after.partition("\n\n")
    if write and found:
        page.write_text(before + found + "\n".join(rows) + "\n\n" + rest.lstrip("\n"))
    elif table != "\n".join(rows):
        yield "docs/architecture.md:1: the table of Python isn't what tools/layers.py and docstrings say: use --write"


def _is_package(root: Path, module: str) -> bool:
    return any((root / folder / module.replace(".", "/") / "__init__.py").exists() for folder in SOURCES)


def check_sizes(root: Path) -> Iterator[str]:
    """Checks that no source file is too long to read in one sitting."""
    for folder in ("benches", "crates", "examples", "python", "tests", "tools"):
        for path in sorted(p for p in (root / folder).rglob("*") if p.suffix in (".py", ".pyi", ".rs")):
            lines = len(path.read_text().splitlines())
            if lines > LINES_MAX:
                yield f"{path.relative_to(root)}:{LINES_MAX}: {lines} lines, at most {LINES_MAX}: find the seam inside"


def check_tests(root: Path) -> Iterator[str]:
    """Checks that no two test files have the same name: pytest takes them for one module, and runs neither."""
    found: dict[str, Path] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        if (first := found.setdefault(path.name, path)) != path:
            yield f"{path.relative_to(root)}:1: has the name of {first.relative_to(root)}: give it another"


def check(root: Path, write: bool = False) -> list[str]:
    """Every fault below `root`."""
    return [
        *check_python(root),
        *check_rust(root),
        *check_sentences(root, write),
        *check_rooms(root, write),
        *check_sizes(root),
        *check_tests(root),
    ]


def main(arguments: list[str]) -> int:
    """Prints the faults; 1 when there are any."""
    root = Path(__file__).resolve().parents[1]
    faults = [*check(root, "--write" in arguments), *unsound(root)]
    print("\n".join(faults) or "layers: every module and crate is in its room")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
