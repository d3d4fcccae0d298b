"""The layer check passes on a small tree that keeps the rules, and names each violation that is put into it."""

from pathlib import Path
from types import ModuleType

import pytest

from planted_tree import ROOT, load_tool, write

SENTENCE = "The ledger's vocabulary, which knows nothing but itself."


@pytest.fixture(scope="module")
def layers() -> ModuleType:
    return load_tool("layers")


@pytest.fixture
def tree(layers: ModuleType, tmp_path: Path) -> Path:
    write(tmp_path, "python/rustorium/types.py", '"""Ids."""\nfrom dataclasses import dataclass\n')
    write(tmp_path, "python/rustorium/consensus/machine.py", '"""Decides."""\nfrom rustorium.types import Id\n')
    write(
        tmp_path,
        "python/rustorium/sim/world.py",
        '"""A world."""\nimport random\nfrom rustorium.consensus import machine\n',
    )
    write(
        tmp_path, "python/rustorium/node/loop/driver.py", '"""Drives."""\nimport trio\nfrom rustorium import _native\n'
    )
    write(tmp_path, "tests/cli/test_ids.py", "def test_ids() -> None: ...\n")
    write(tmp_path, "crates/types/Cargo.toml", '[dependencies]\nborsh = "1"\n')
    write(tmp_path, "crates/types/README.md", f"# rustorium-types\n\n{SENTENCE}\n")
    write(tmp_path, "crates/types/src/lib.rs", f"//! {SENTENCE}\n//!\n//! *Invariants:* none.\n")
    write(
        tmp_path,
        "docs/architecture.md",
        f"| crate | owns | may not |\n|---|---|---|\n| `types` | {SENTENCE} | know |\n\n{layers.ROOMS}",
    )
    assert layers.check(tmp_path, write=True) == []
    return tmp_path


def test_this_repository_keeps_its_layers(layers: ModuleType) -> None:
    assert [*layers.check(ROOT), *layers.unsound(ROOT)] == []


def test_a_tree_that_keeps_the_rules_has_no_faults(layers: ModuleType, tree: Path) -> None:
    assert layers.check(tree) == []


PLANTED = [
    ("python/rustorium/consensus/machine.py", "import trio", "PURE may not import trio"),
    ("python/rustorium/consensus/machine.py", "def f():\n    import time", "PURE may not import time"),
    ("python/rustorium/consensus/machine.py", "from os import path", "PURE may not import os"),
    ("python/rustorium/consensus/machine.py", "from rustorium import _native", "PURE may not import rustorium._native"),
    (
        "python/rustorium/consensus/machine.py",
        "from rustorium._native import x",
        "PURE may not import rustorium._native",
    ),
    (
        "python/rustorium/consensus/machine.py",
        "from rustorium.node import driver",
        "PURE may not import rustorium.node",
    ),
    ("python/rustorium/consensus/machine.py", "from . import safety", "relative import"),
    ("python/rustorium/consensus/machine.py", "x = __import__('trio')", "PURE may not import importlib"),
    ("python/rustorium/types.py", "from threading import Lock", "PURE may not import threading"),
    ("python/rustorium/sim/world.py", "import trio.testing", "sim may not import trio"),
    ("python/rustorium/sim/world.py", "import rustorium.node.loop.driver", "sim may not import rustorium.node"),
    ("python/rustorium/sim/world.py", "import time", "sim may not import time"),
    ("python/rustorium/node/loop/driver.py", "import asyncio", "node.loop may not import asyncio"),
    ("python/rustorium/client/http.py", '"""Client."""\nimport trio', "client may not import trio"),
    (
        "python/rustorium/client/keys.py",
        '"""Keys."""\nfrom rustorium.home import paths',
        "client may not import rustorium.home",
    ),
    (
        "python/rustorium/node/admin/calls.py",
        '"""Calls."""\nfrom rustorium.node.loop import driver',
        "node.admin may not",
    ),
    ("tests/model/world.py", '"""A world."""\nimport time', "model may not import time"),
    ("python/rustorium/consensus/new.py", "x = 1", "no docstring"),
    ("python/rustorium/new.py", '"""New."""', "`rustorium.new` has no row"),
    ("crates/types/src/ids.rs", "use std::time::Instant;", "`types` may not use Instant"),
    ("crates/types/src/ids.rs", "pub fn f(x: f64) {}", "`types` may not use f64"),
    ("crates/types/Cargo.toml", 'rustorium-crypto = "1"', "`types` may not depend on `crypto`"),
    (
        "crates/types/Cargo.toml",
        'tokio = "1"',
        "only transport gateway stages load node backup sim may depend on `tokio`",
    ),
    ("crates/types/src/lib.rs", "x\n" * 500, "504 lines, at most 500"),
    ("tests/test_long.py", "x = 1\n" * 501, "502 lines, at most 500"),
    ("tests/node/test_ids.py", "x = 1", "has the name of tests/cli/test_ids.py"),
]


@pytest.mark.parametrize(("name", "planted", "expected"), PLANTED, ids=[f"{p[0]}-{p[2]}" for p in PLANTED])
def test_a_planted_violation_is_named(layers: ModuleType, tree: Path, name: str, planted: str, expected: str) -> None:
    before = (tree / name).read_text() if (tree / name).exists() else ""
    write(tree, name, f"{before}{planted}\n")
    faults = layers.check(tree)
    assert faults
    assert all(fault.startswith(f"{name}:") and expected in fault for fault in faults), faults


def test_an_import_for_types_only_is_an_import(layers: ModuleType, tree: Path) -> None:
    text = '"""Ids."""\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rustorium.node import driver\n'
    write(tree, "python/rustorium/types.py", text)
    assert all("PURE may not import rustorium.node" in fault for fault in layers.check(tree))


def test_a_crate_without_a_row_is_refused(layers: ModuleType, tree: Path) -> None:
    write(tree, "crates/helpers/Cargo.toml", "")
    write(tree, "crates/helpers/src/lib.rs", "//! placeholder\n")
    assert [fault.split(": ", 1)[1].split(":")[0] for fault in layers.check(tree)] == [
        "crate `helpers` has no row in tools/layers.py",
        "`//!` doesn't start with a sentence that says what it owns",
    ]


def test_a_changed_sentence_is_found_in_both_places_and_written_to_both(layers: ModuleType, tree: Path) -> None:
    write(tree, "crates/types/src/lib.rs", "//! Ids and the canonical codec,\n//! nothing else whatever.\n")
    assert [fault.split(":")[0] for fault in layers.check(tree)] == ["crates/types/README.md", "docs/architecture.md"]
    assert layers.check(tree, write=True) == []
    assert "Ids and the canonical codec, nothing else whatever." in (tree / "docs" / "architecture.md").read_text()


def test_the_table_of_python_follows_docstrings(layers: ModuleType, tree: Path) -> None:
    write(tree, "python/rustorium/types.py", '"""Other values."""\n')
    assert [fault.split(":")[0] for fault in layers.check(tree)] == ["docs/architecture.md"]
    assert layers.check(tree, write=True) == []
    assert "| `types` | is PURE | Other values. |" in (tree / "docs" / "architecture.md").read_text()


def test_permissions_that_nobody_uses_are_faults(layers: ModuleType, tree: Path) -> None:
    write(tree, "crates/crypto/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nring = \"1\"\n")
    faults = "\n".join(layers.unsound(tree))
    assert "sim may import native and doesn't" in faults
    assert "sim may import PURE and doesn't" not in faults
    assert "there is no module `client`" in faults
    assert "there is no module `types`" not in faults
    assert "`crypto` may depend on `types` and doesn't" in faults
    assert "`crypto` may depend on `argon2` and doesn't" in faults
    assert "`crypto` may depend on `ring` and doesn't" not in faults


def test_no_permission_points_back(layers: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = {"access": layers.Room(("access",), frozenset({"home"})), "home": layers.Room(("home",), frozenset())}
    monkeypatch.setattr(layers, "PYTHON", rooms)
    assert any("access may use home, which comes after it" in fault for fault in layers.unsound(tree))


def test_links_and_the_shard_meet_in_one_crate(layers: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = layers.Crate(frozenset({"transport", "shard"}))
    monkeypatch.setattr(layers, "RUST", {"stages": joined, "node": joined})
    faults = [fault for fault in layers.unsound(tree) if "joins two" in fault]
    assert len(faults) == 1
    assert "`stages` may use shard and transport" in faults[0]


def test_clocks_in_comments_and_tests_are_no_faults(layers: ModuleType, tree: Path) -> None:
    text = "// Instant is the caller's\n#[cfg(test)]\nmod tests { use std::time::Instant; }\n"
    write(tree, "crates/types/src/ids.rs", text)
    assert layers.check(tree) == []
