"""The declared requirements are exactly those that are used, and the tests install pinned versions."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "tools" / "build" / "backend.py"
LIBCLANG = re.compile(r'LIBCLANG = "(.*)"')
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def imported_packages() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "python").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"rustorium"}


def test_the_package_imports_what_it_declares_and_nothing_else() -> None:
    declared = {name(requirement) for requirement in PROJECT["project"]["dependencies"]}
    # pytest is there when its plugin `rustorium.testing` is loaded
    assert imported_packages() - {"pytest"} == declared


def test_every_requirement_is_locked_with_hashes() -> None:
    for group in ("test", "docs", "wheels"):
        lock = (ROOT / "requirements" / f"{group}.txt").read_text()
        blocks = [block for block in re.split(r"\n(?=\w)", lock) if "==" in block]
        assert all("--hash=sha256:" in block for block in blocks)
        wanted = {name(requirement) for requirement in PROJECT["dependency-groups"][group]}
        if group == "test":
            wanted |= {name(requirement) for requirement in PROJECT["project"]["dependencies"]}
        assert wanted <= {block.split("==")[0].lower() for block in blocks}


def test_the_build_asks_for_the_libclang_that_the_tests_have() -> None:
    requires = [*PROJECT["build-system"]["requires"], *LIBCLANG.findall(BACKEND.read_text())]
    build = {name(r): r for r in requires}
    assert set(build) == {"maturin", "libclang"}
    test = {name(r): r for r in PROJECT["dependency-groups"]["test"]}
    assert {key: test[key] for key in build} == build
