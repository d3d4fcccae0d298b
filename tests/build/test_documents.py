"""The check of pages passes on this repository, and names each outdated statement that is put into a small tree."""

from pathlib import Path
from types import ModuleType

import pytest

from planted_tree import ROOT, load_tool, write

SPEC_TEXT = """# Rules

| where | rules |
|---|---|
| `leader.py` | R1–R3 |
| the data plane | R17b |

**R1 Leader.** One.
**R2 Entering.** Two.
**R3 Parent.** Three.
**R17b Mute leaders.** Four.
"""


@pytest.fixture(scope="module")
def documents() -> ModuleType:
    return load_tool("documents")


@pytest.fixture
def tree(documents: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        documents, "FIGURES", (("docs/spec/consensus.md", r"(\w+) targets", ("targets.rs", documents.targets)),)
    )
    write(tmp_path, "docs/adr/0001-one.md", "# 0001: One thing\n\n2026-01-01, superseded by [0002](0002-two.md).\n")
    write(tmp_path, "docs/adr/0002-two.md", "# 0002: Another thing\n")
    write(tmp_path, "docs/architecture.md", f"## Decisions\n\n{documents.LIST}- none\n\n## Out of scope\n")
    write(tmp_path, "docs/index.md", "[A](architecture.md), [S](spec/consensus.md), [web](https://example.com/x)\n")
    write(tmp_path, "docs/spec/consensus.md", f"{SPEC_TEXT}\ntwelve targets\n")
    write(tmp_path, "python/rustorium/consensus/leader.py", "# R2, R17b, and R43, which is no more\n")
    names = "".join(f'    target("t{number}", Low),\n' for number in range(12))
    write(tmp_path, "targets.rs", f'fn target() {{}}\npub const TARGETS: &[Target] = &[\n{names}];\ntarget("no")\n')
    return tmp_path


def test_the_pages_of_this_repository_are_up_to_date(documents: ModuleType) -> None:
    assert documents.check(ROOT) == []


def test_decisions_are_listed_by_their_titles(documents: ModuleType, tree: Path) -> None:
    assert [fault.partition(": ")[2] for fault in documents.check(tree)] == [
        "the list of decisions isn't their titles: use tools/documents.py --write"
    ]
    assert documents.check(tree, write=True) == []
    page = (tree / "docs" / "architecture.md").read_text()
    assert (
        "- [0001](adr/0001-one.md) One thing (superseded by 0002)\n- [0002](adr/0002-two.md) Another thing\n\n## Out"
        in page
    )


PLANTED = [
    ("docs/adr/0002-two.md", "# 2. Another thing\n", "docs/adr/0002-two.md:1: the title isn't"),
    ("docs/new.md", "x", "docs/index.md:1: no link to new.md"),
    (
        "docs/index.md",
        "[A](architecture.md) [S](spec/consensus.md) [G](gone.md)",
        "docs/index.md:1: there is no gone.md",
    ),
    ("docs/spec/consensus.md", f"{SPEC_TEXT}**R4 Proposal.** New.\ntwelve targets", "doesn't say where R4 is"),
    ("docs/spec/consensus.md", f"{SPEC_TEXT}**R3 Again.** New.\ntwelve targets", "R3 stands twice"),
    ("docs/spec/consensus.md", f"{SPEC_TEXT}thirteen targets", "`thirteen targets`, and it is 12 in targets.rs"),
    ("docs/spec/consensus.md", f"{SPEC_TEXT}11 targets", "`11 targets`, and it is 12 in targets.rs"),
    ("docs/spec/consensus.md", SPEC_TEXT, "nothing there reads"),
    (
        "docs/spec/consensus.md",
        f"{SPEC_TEXT.replace('leader.py', 'gone.py')}12 targets",
        "there is no consensus/gone.py",
    ),
    (
        "crates/types/src/ids.rs",
        "// x\n// R18 says so\n",
        "crates/types/src/ids.rs:2: docs/spec/consensus.md has no rule R18",
    ),
]


@pytest.mark.parametrize(("name", "text", "expected"), PLANTED, ids=[planted[2] for planted in PLANTED])
def test_an_outdated_page_is_named(documents: ModuleType, tree: Path, name: str, text: str, expected: str) -> None:
    documents.check(tree, write=True)
    write(tree, name, text)
    faults = documents.check(tree, write=True)
    assert len(faults) == 1, faults
    assert expected in faults[0]


def test_a_constant_is_found_in_rust_and_python(documents: ModuleType) -> None:
    _, read = documents.constant("x", "TURN_NS_MAX", 1_000)
    assert read("const OTHER: u32 = 7;\npub const TURN_NS_MAX: u64 = 5_000;\n") == 5
    assert documents.constant("x", "READ")[1]("const READ: (usize, usize) = (512, 4);") == 512
    assert documents.constant("x", "FORMAT")[1]("FORMAT = 2\n") == 2
    with pytest.raises(LookupError, match="has no constant GONE"):
        documents.constant("x", "GONE")[1]("const FORGONE: u32 = 1;")
