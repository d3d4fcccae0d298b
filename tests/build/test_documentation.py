"""Every fenced block of every page is run by a test, or at least checked: commands and options exist, Python compiles
and its imports exist, TOML and JSON parse.

`RUN` and `READ` list the blocks by page and kind; a block in neither list is a fault.
"""

import ast
import importlib
import json
import re
import subprocess
import tomllib

import pytest
from doc_blocks import (
    INLINE,
    OURS,
    ROOT,
    Block,
    blocks,
    commands,
    fault_of_just,
    fault_of_ours,
    fault_of_script,
    pages,
)

GUIDES, DEVNET = "tests/devnet/test_guides.py", "tests/devnet/test_pages_on_a_devnet.py"
RUN = {
    ("README.md", "sh"): "tests/devnet/test_readme.py",
    ("README.md", "python"): "tests/devnet/test_readme.py",
    ("README.md", "console"): "tests/devnet/test_readme.py",
    ("docs/tutorial.md", "sh"): GUIDES,
    ("docs/tutorial.md", "python"): GUIDES,
    ("docs/operator.md", "sh"): GUIDES,
    ("docs/several-owners.md", "sh"): GUIDES,
    ("docs/proofs.md", "sh"): DEVNET,
    ("docs/proofs.md", "python"): DEVNET,
    ("docs/zk.md", "sh"): DEVNET,
    ("docs/zk.md", "python"): DEVNET,
    ("docs/operations.md", "python"): DEVNET,
}
"""Blocks that a test runs."""
READ = {
    ("docs/operations.md", "sh"): "for a net of many machines; tests/cli and tests/devnet have each command",
    ("docs/benchmarks.md", "sh"): "just bench",
    (
        "docs/install.md",
        "sh",
    ): "tests/build/test_backend.py and tests/outside/test_installed_wheel.py build and install",
    ("docs/geography.md", "console"): "tests/cli/test_geo.py and tests/devnet/test_directory.py have its commands",
    ("docs/geography.md", "python"): "tests/devnet/test_directory.py gives a client a place",
    ("docs/sizing.md", "sh"): "takes 400 s; docs/operator.md runs bench load for less",
    ("docs/ceremony.md", "sh"): "takes minutes; tests/cli/test_ceremony_commands.py has its commands",
    ("docs/tuning.md", "sh"): "tests/devnet/test_analysis_on_a_devnet.py has its command",
    ("docs/rollup.md", "sh"): "tests/devnet/test_rollup_on_a_devnet.py has its commands",
    ("docs/rollup.md", "python"): "out of examples/rollup.py, which that test runs",
    ("docs/signing.md", "sh"): "tests/devnet/test_{signing,custody}_on_a_devnet.py and tests/cli have its commands",
    ("docs/signing.md", "python"): "tests/devnet/test_signing_on_a_devnet.py has its calls",
    ("docs/shards.md", "sh"): "tests/devnet/test_shards_on_a_devnet.py has its commands",
    ("docs/shards.md", "python"): "tests/devnet/test_shards_on_a_devnet.py has its calls",
    ("docs/shielded.md", "sh"): "tests/devnet/test_shielded.py has its commands",
    ("docs/shielded.md", "python"): "tests/devnet/test_shielded.py has its calls",
    ("tests/zk/README.md", "sh"): "just test-outside",
}
"""Blocks that are only parsed, and the test that runs what they show."""
TAGS = ("sh", "console", "python", "toml", "json", "text")
SYSTEM = frozenset(
    {".", "cd", "du", "kill", "npm", "pip", "printf", "prometheus", "python3", "rm", "snarkjs", "tests/zk/recipe"}
)
"""Commands of other programs."""


def faults(block: Block) -> list[str]:
    """Returns the faults of a block."""
    try:
        match block.tag:
            case "sh":
                return shell_faults(block.text)
            case "console":
                typed = [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
                return shell_faults("\n".join(typed)) if typed else ["nothing is typed in it: begin commands with $"]
            case "python":
                return list(import_faults(ast.parse(block.text)))
            case "toml":
                tomllib.loads(block.text)
            case "json":
                for text in [block.text] if "}\n{" not in block.text else block.text.splitlines():
                    json.loads(text)
            case "text":
                lines = (line.removeprefix("$ ").split(maxsplit=1)[:1] for line in block.text.splitlines())
                return [
                    f"{line[0]} is a command: call the block sh"
                    for line in lines
                    if line and line[0] in OURS | {"just"}
                ]
            case other:
                return [f"{other or 'no tag'} is none of {', '.join(TAGS)}"]
    except (ValueError, SyntaxError) as error:
        return [f"{block.tag}: {error}"]
    return []


def shell_faults(text: str) -> list[str]:
    ended = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    found = [ended.stderr.strip()] if ended.returncode else []
    for words in commands(text):
        match words[0]:
            case "rustorium" | "rustorium-node":
                found.append(fault_of_ours(words))
            case "just":
                found.append(fault_of_just(words))
            case "python":
                found.append(fault_of_script(words))
            case other if other not in SYSTEM:
                found.append(f"{other} is no command that is known here")
    return [one for one in found if one]


def import_faults(tree: ast.Module) -> "list[str]":
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rustorium":
            module = importlib.import_module(node.module)
            found += [f"{node.module} has no {one.name}" for one in node.names if not hasattr(module, one.name)]
    return found


@pytest.mark.parametrize("page", [page for page in pages() if blocks(page)])
def test_each_block_is_valid(page: str) -> None:
    shown = blocks(page)
    # Each guide is one script, functions included; bash reads it when the test runs it.
    read = [block for block in shown if RUN.get((page, "sh")) != GUIDES or block.tag != "sh"]
    assert [f"{block}: {fault}" for block in read for fault in faults(block)] == []
    for tag in {block.tag for block in shown} & {"sh", "console", "python"}:
        run, is_read = (page, tag) in RUN, (page, tag) in READ
        assert run != is_read, f"{page} shows {tag}: have a test run it, or say in READ where that is done"


def test_the_tests_that_run_pages_name_them() -> None:
    for (page, _), test in RUN.items():
        assert page.removeprefix("docs/") in (ROOT / test).read_text(), (page, test)
    shown = {(block.page, block.tag) for page in pages() for block in blocks(page)}
    assert {*RUN, *READ} <= shown, "a page that is gone"


@pytest.mark.parametrize("page", pages())
def test_commands_in_sentences_exist(page: str) -> None:
    wrong = []
    for line in INLINE.findall((ROOT / page).read_text()):
        for words in commands(line):
            fault = (
                fault_of_ours(words, whole=False)
                if words[0] in OURS
                else fault_of_just(words)
                if words[0] == "just"
                else ""
            )
            wrong += [f"`{line}`: {fault}"] if fault else []
    assert wrong == []


@pytest.mark.parametrize(
    ("tag", "text", "fault"),
    [
        ("sh", "rustorium-node backup crate --home H --to D\n", "has no command crate"),
        ("sh", "rustorium-node backup create --home H --too D\n", "--too"),
        ("sh", "rustorium-node backup create --home H\n", "Missing parameter: to"),
        ("sh", "rustorium tx put --key K name value more\n", "extra"),
        ("sh", "cd x && rustorium-node status check -o jsn > file\n", "jsn"),
        ("sh", "rustorium-node replay --height nine x\n", "rustorium-node replay"),
        ("sh", "just bensh\n", "no recipe bensh"),
        ("sh", "just bench --quik\n", "no option --quik"),
        ("sh", "just sim 0 1 twins --nodez 4\n", "no option --nodez"),
        ("sh", "python examples/rollup.py opn --net x\n", "has no command opn"),
        ("sh", "rustorum tx put a b\n", "rustorum is no command"),
        ("sh", "if true\n", "syntax error"),
        ("python", "from rustorium.client import Clent\n", "has no Clent"),
        ("python", "with x as y\n", "python: "),
        ("toml", "a = \n", "toml: "),
        ("json", "{'a': 1}\n", "json: "),
        ("text", "rustorium-node start\n", "is a command"),
        ("console", "$ rustorium nosuch\n", "nosuch"),
        ("console", "rustorium status check\n", "nothing is typed"),
        ("", "anything\n", "no tag"),
        ("shell", "$ ls\n", "shell is none of"),
    ],
)
def test_faults_of_a_block_are_found(tag: str, text: str, fault: str) -> None:
    [block] = blocks("page.md", f"# A page\n\n```{tag}\n{text}```\n")
    assert fault in " ".join(faults(block))


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("sh", "just bench --rates 100 1000 --seconds 20\nA=1 rustorium-node status check && cd x  # a note\n"),
        ("sh", "rustorium-node metrics collect --net n.json --for 5m --out run.jsonl > out 2> err &\n"),
        ("json", '{"a": 1}\n{"b": 2}\n'),
        ("text", "any old thing\n"),
    ],
)
def test_valid_blocks_have_no_faults(tag: str, text: str) -> None:
    [block] = blocks("page.md", f"```{tag}\n{text}```\n")
    assert faults(block) == []


def test_the_index_has_one_line_for_each_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    linked = re.findall(r"(?m)^- \[[^\]]+\]\(([^)#]+)", index)
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    wanted = {page for page in pages if not page.startswith("adr/")} - {"index.md"}
    assert set(linked) == wanted
    assert index.count("](") == len(linked), "an item of the list stands within another"
