"""Stable codes have one spelling, words joined by hyphens, wherever Rust, Python or the explorer uses one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORD = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
LITERAL = re.compile(r'"([^"\\\n]*)"')

RUST_FUNCTION = re.compile(
    r"\n(?P<indent> *)(?:pub(?:\([a-z]+\))? )?fn (?:code|\w+_code|failure_name|label)\b.*?\n(?P=indent)\}", re.S
)
"""A function that returns a code: every string in it is a code."""
RUST_LIST = re.compile(r"\n *(?:pub(?:\([a-z]+\))? )?const (?:\w+_LABELS|KINDS|CODE)\b[^=]*=(.*?);\n", re.S)
RUST_TABLE = re.compile(r'^    \w+ = "([^"]+)", [A-Z_]+, "', re.M)
"""A row of the problems of the HTTP API."""
RUST_CALL = re.compile(
    r'(?:Refused::new|Problem::refused|NodeError::new|native_error|\.end|\.fail|End::Refused|refused\.entry)\(\s*"([^"]+)"'
    r'|\bcode: "([^"]+)"|"code": "([^"]+)"|#\[error\("([a-z_-]+): |\(tag, "([^"]+)"'
)
RUST_STATUS = re.compile(r'#\[serde\(tag = "status", rename_all = "([a-z_-]+)"')
"""The codes of a submission's results."""
SCRIPT = re.compile(
    r'\bcode\)? ?[!=]== "([^"]+)"|new Problem\(\s*"([^"]+)"|\bcode\?*\.startsWith\("([^"]+)"|spelled\("([^"]+)"'
)
SCRIPT_LIST = re.compile(r"(?:const (?:NO_PROOF|ENDS)\b[^=]*=|for \(const end of) (\[[^\]]*\])")


def words(found: Iterator[str]) -> Iterator[str]:
    """Returns the codes among strings, without the sentences."""
    return (word for word in found if WORD.fullmatch(word.rstrip("_-")))


def of_rust(text: str) -> Iterator[str]:
    code = text.split("#[cfg(test)]")[0]
    for pattern in (RUST_FUNCTION, RUST_LIST):
        for place in pattern.finditer(code):
            yield from words(iter(LITERAL.findall(place[0])))
    yield from words(iter(RUST_TABLE.findall(code)))
    for groups in (*RUST_CALL.findall(code), *RUST_STATUS.findall(code)):
        yield from words(iter((groups,) if isinstance(groups, str) else groups))


def of_script(text: str) -> Iterator[str]:
    for groups in SCRIPT.findall(text):
        yield from words(iter(groups))
    for listed in SCRIPT_LIST.findall(text):
        yield from words(iter(LITERAL.findall(listed)))


def of_python(text: str) -> Iterator[str]:
    """Yields values that are used as codes or compared with them, including constants."""
    tree = ast.parse(text)
    set_here = (node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign)))
    constants = {name: node.value for node in set_here for name in named(node)}
    for place in (place for node in ast.walk(tree) for place in given(node)):
        place = constants.get(place.id, place) if isinstance(place, ast.Name) else place
        for part in ast.walk(place) if place is not None else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield from words(iter((part.value,)))


def named(node: ast.AST) -> Iterator[str]:
    """Returns the names that an assignment sets."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def given(node: ast.AST) -> Iterator[ast.AST | None]:
    """Yields the codes in a syntax node."""
    match node:
        case ast.keyword(arg="code"):
            yield node.value
        case ast.Compare(left=ast.Attribute(attr="code") | ast.Name(id="code")):
            yield from node.comparators
        case ast.Assign() | ast.AnnAssign() if {"code", "CODE", "REASONS"} & set(named(node)):
            yield node.value
        case ast.Assign(value=ast.Dict(keys=keys)) | ast.AnnAssign(value=ast.Dict(keys=keys)):
            yield from keys if "FINDINGS" in named(node) else ()
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            yield from (value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "code")
        case _:
            pass


def sources(pattern: str) -> Iterator[tuple[str, str]]:
    for path in sorted(ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        if "/tests" not in name:
            yield name, path.read_text()


def codes() -> dict[str, set[str]]:
    """Returns every code, with the files that contain it."""
    found: dict[str, set[str]] = {}
    for pattern, read in (
        ("crates/*/src/**/*.rs", of_rust),
        ("crates/*/ui/*.js", of_script),
        ("python/rustorium/**/*.py", of_python),
    ):
        for name, text in sources(pattern):
            for code in read(text):
                found.setdefault(code, set()).add(name)
    return found


def test_every_code_is_spelled_with_hyphens() -> None:
    found = codes()
    wrong = {code: sorted(files) for code, files in found.items() if "_" in code}
    assert not wrong, "spell these codes with hyphens"


def test_the_list_of_codes_has_each_kind() -> None:
    found = {code.replace("_", "-") for code in codes()}
    known = {
        "token-missing", "busy", "height-ahead",  # problems of the HTTP API
        "nonce-too-far", "wrong-chain", "bad-signature", "malformed-transaction",  # refusals
        "not-an-operator", "work-limit",  # failures of receipts
        "two-batches", "followers-full", "over-credit",  # evidence, links, the QUIC API
        "too-slow", "nothing-left",  # ends of streams, reports of a load
        "disk-stalled", "thread-panicked", "rotation-running", "proof-refused",  # a node and its findings
        "home-missing", "no-such-validator", "bad-body", "wallet-locked",  # the CLI
    }  # fmt: skip
    assert known - found == set()
    assert {"kebab-case", "snake-case"} & found, "how the ends of a submission are named"
    assert len(found) > 200, sorted(found)
