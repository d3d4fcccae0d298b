"""Checks pages against what they speak of: the list of decisions, the index, rules, and figures that code has, too.

Run by `just lint`; `--write` makes the list of decisions in the architecture page from the titles in `docs/adr`.
A fault is one line: the place, what is wrong there, and what to do about it.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LIST = "Each file in `docs/adr/` explains one decision, and what was rejected:\n\n"
"""The text before the list of decisions."""
SPEC = "docs/spec/consensus.md"


@dataclass(frozen=True)
class Rules:
    """A specification with numbered rules."""

    page: str
    number: str
    """The expression of a rule's number."""
    folder: str
    """Where the modules are that the page's table names, below `python/rustorium`."""
    citing: dict[str, str]
    """Folders or files that cite its rules, and the ends of their files' names."""
    given_up: frozenset[str] = frozenset()
    """Numbers that no rule has any more."""


SPECS = (
    Rules(
        SPEC,
        r"R\d+b?",
        "consensus",
        {"benches": ".py", "crates": ".rs", "docs": ".md", "python": ".py", "tests": ".py .rs .md", "tools": ".py"},
        frozenset({"R43"}),
    ),
    Rules(
        "docs/spec/shards.md",
        r"[ST]\d+a?",
        "sharding",
        {
            "docs/adr/0063-model-of-shards.md": ".md",
            "docs/adr/0064-flaws-found-by-the-model.md": ".md",
            "docs/spec/shards.md": ".md",
            "python/rustorium/sharding": ".py",
            "tests/sharding": ".py",
        },
    ),
    Rules(
        "docs/spec/transactions.md",
        r"V\d\d",
        "consensus",
        {
            "crates/crypto": ".rs",
            "crates/types/src/authority.rs": ".rs",
            "crates/types/src/operation2.rs": ".rs",
            "crates/types/src/transaction2.rs": ".rs",
            "crates/types/tests": ".rs",
            "docs/spec/transactions.md": ".md",
        },
    ),
)
WORDS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")


def decisions(root: Path) -> list[str]:
    """The list of decisions, a line each, oldest first."""
    lines = []
    for path in sorted((root / "docs" / "adr").glob("*.md")):
        title, _, rest = path.read_text().partition("\n")
        number, _, sentence = title.removeprefix("# ").partition(": ")
        later = re.search(r"superseded by \[(\d{4})\]", rest)
        if number != path.name[:4] or not sentence:
            sentence = f"(its title isn't `# {path.name[:4]}: SENTENCE`)"
        superseded = f" (superseded by {later.group(1)})" if later is not None else ""
        lines.append(f"- [{path.name[:4]}](adr/{path.name}) {sentence}{superseded}")
    return lines


def check_decisions(root: Path, write: bool = False) -> Iterator[str]:
    """The architecture page lists every decision by its title."""
    page = root / "docs" / "architecture.md"
    before, found, after = page.read_text().partition(LIST)
    listed, _, rest = after.partition("\n\n")
    wanted = "\n".join(decisions(root))
    if write and found:
        page.write_text(f"{before}{LIST}{wanted}\n\n{rest}")
    elif listed != wanted:
        yield "docs/architecture.md:1: the list of decisions isn't their titles: use tools/documents.py --write"
    for line in wanted.splitlines():
        if "(its title isn't" in line:
            yield f"docs/{line.partition('(')[2].partition(')')[0]}:1: the title isn't `# NUMBER: SENTENCE`"


def check_index(root: Path) -> Iterator[str]:
    """The index links every page beside it and below it; decisions are listed by the architecture page."""
    index = root / "docs" / "index.md"
    linked = set(re.findall(r"\]\(([^)#]+)", index.read_text()))
    for path in sorted((root / "docs").rglob("*.md")):
        name = path.relative_to(root / "docs").as_posix()
        if name != "index.md" and not name.startswith("adr/") and name not in linked:
            yield f"docs/index.md:1: no link to {name}: say in one line what it is for"
    for name in sorted(linked):
        if "://" not in name and not (index.parent / name).exists():
            yield f"docs/index.md:1: there is no {name}: correct the link"


def rules(text: str, number: str) -> list[str]:
    """Returns the rules of a specification, in its order."""
    return re.findall(rf"^\*\*({number}) ", text, re.MULTILINE)


def check_rules(root: Path) -> Iterator[str]:
    """Checks each specification, and what cites it."""
    for spec in SPECS:
        if (root / spec.page).exists():
            yield from _check_rules(root, spec)


def _check_rules(root: Path, spec: Rules) -> Iterator[str]:
    """Checks that each rule occurs once and is in the table, that each cited number is a rule's, and that each named
    file exists."""
    text = (root / spec.page).read_text()
    known = rules(text, spec.number)
    for rule in sorted(set(known)):
        if known.count(rule) > 1:
            yield f"{spec.page}:1: {rule} stands twice: give one of them another number"
    table = text[text.index("| where | rules |") :].partition("\n\n")[0]
    for rule in known:
        if rule not in _in_table(table, spec.number):
            yield f"{spec.page}:1: the table doesn't say where {rule} is: add it to a row"
    for name in re.findall(r"`(?:\w+/)?(\w+\.py)`", table):
        if not (root / "python" / "rustorium" / spec.folder / name).exists():
            yield f"{spec.page}:1: there is no {spec.folder}/{name}: correct the table"
    for folder, ends in spec.citing.items():
        place = root / folder
        paths = [place] if place.is_file() else place.rglob("*")
        for path in sorted(p for p in paths if p.suffix and p.suffix in ends.split()):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for cited in re.findall(rf"(?<![\w.]){spec.number}\b", line):
                    if cited not in known and cited not in spec.given_up:
                        place_in = f"{path.relative_to(root)}:{number}"
                        yield f"{place_in}: {spec.page} has no rule {cited}: cite one that it has"


def _in_table(table: str, number: str) -> set[str]:
    found = set(re.findall(rf"\b{number}\b", table))
    for letter, first, last in re.findall(r"([A-Z])(\d+)–[A-Z](\d+)", table):
        found |= {f"{letter}{rule}" for rule in range(int(first), int(last))}
    return found


# ---- figures ---------------------------------------------------------------------------------------------------------


def constant(path: str, name: str, unit: int = 1) -> tuple[str, Callable[[str], int]]:
    """A Rust or Python constant, in another unit."""

    def read(text: str) -> int:
        found = re.search(rf"\b{name}\b(?:: [\w, ()]+)? = \(?([\d_]+)", text)
        if found is None:
            raise LookupError(f"{path} has no constant {name}")
        return int(found.group(1).replace("_", "")) // unit

    return path, read


def targets(text: str) -> int:
    """Returns the number of fuzzed decoders."""
    return len(re.findall(r'\btarget\("', text[text.index("pub const TARGETS") :].partition("\n];")[0]))


def traitors(text: str) -> int:
    """Returns the number of kinds of traitors in the simulator."""
    makers = next(
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "MAKERS"
    )
    assert isinstance(makers, ast.Dict)
    return len(makers.keys)


FIGURES = (
    ("docs/reliability.md", r"\| (\d+) targets\.", ("tests/fuzz/src/targets/mod.rs", targets)),
    ("docs/reliability.md", r"(\w+) kinds of traitors", ("python/rustorium/sim/actors/__init__.py", traitors)),
    (SPEC, r"chunks of at most (\d+) views", constant("crates/types/src/limits.rs", "SYNC_ITEMS_MAX")),
    (SPEC, r"([\d,]+) of consensus and 4 MiB", constant("crates/transport/src/shard_queues.rs", "CONSENSUS_READ")),
    (
        SPEC,
        r"at most ([\d,]+) frames a second",
        constant("crates/transport/src/shard_queues.rs", "CONSENSUS_FRAMES_PER_S"),
    ),
    (
        SPEC,
        r"turn gives peers at most (\d+) ms",
        constant("crates/shard/src/turns.rs", "PEERS_NS_MAX", 1_000_000),
    ),
    (SPEC, r"check (\d+) signatures on", constant("crates/shard/src/shard/checking.rs", "INLINE_SIGNATURES")),
    (SPEC, r"the last (\d+) epochs' committees", constant("crates/node/src/guests.rs", "FORMER_EPOCHS")),
    (
        "docs/adr/0027-followers.md",
        r"committees, ([\d,]+) at most",
        constant("crates/node/src/guests.rs", "FORMER_KEYS"),
    ),
    (
        SPEC,
        r"at most ([\d,]+) heights are held",
        constant("crates/shard/src/shard/execution.rs", "ANCESTORS_AHEAD_MAX"),
    ),
)
"""Page, the figure's place in it, and the figure's source elsewhere."""


def check_figures(root: Path) -> Iterator[str]:
    """Figures that pages name are those of the code."""
    for page, pattern, (source, read) in FIGURES:
        text = " ".join((root / page).read_text().split())
        found = re.search(pattern, text)
        if found is None:
            yield f"{page}:1: nothing there reads /{pattern}/ any more: correct FIGURES in tools/documents.py"
            continue
        said = found.group(1).replace(",", "")
        number = WORDS.index(said) + 10 if said in WORDS else int(said)
        try:
            is_now = read((root / source).read_text())
        except (OSError, LookupError, ValueError, StopIteration) as error:
            yield f"{page}:1: `{found.group()}` can't be compared ({error}): correct FIGURES in tools/documents.py"
            continue
        if number != is_now:
            yield f"{page}:1: `{found.group()}`, and it is {is_now} in {source}: correct one of them"


def check(root: Path, write: bool = False) -> list[str]:
    """Every fault below `root`."""
    return [*check_decisions(root, write), *check_index(root), *check_rules(root), *check_figures(root)]


def main(arguments: list[str]) -> int:
    """Prints the faults; 1 when there are any."""
    faults = check(Path(__file__).resolve().parents[1], "--write" in arguments)
    print("\n".join(faults) or "documents: pages say what there is")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
