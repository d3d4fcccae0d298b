"""Compares docs/spec/formats.md with the code: versions, fuzz targets, and the list of domain strings.

Run by `just lint`; `--write` writes the list again. A fault is one line: what is wrong, and what to do about it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = "docs/spec/formats.md"
HEAD = "| string | where | of |\n|---|---|---|\n"
TARGETS = "tests/fuzz/src/targets/mod.rs"
CONSTANT = re.compile(r"^`([^`]+)` `(\w+)`$")
DOMAIN = re.compile(r'((?:^ *///[^\n]*\n)*)^ *(?:pub )?const \w+: &\[u8\] =\s*b"(rustorium/[a-z0-9-]+/v\d+)\\0";', re.M)


def newest(text: str, name: str) -> int:
    """Returns the largest number in a constant's value. Errors: LookupError."""
    found = re.search(rf"^\s*(?:pub(?:\([a-z]+\))? )?(?:const )?(?:\w+, )?{name}\b[^=\n]*= ([^\n;]+)", text, re.M)
    numbers = re.findall(r"\d+", found.group(1)) if found is not None else []
    if not numbers:
        raise LookupError(name)
    return max(map(int, numbers))


def rows(text: str) -> Iterator[list[str]]:
    """Yields the cells of each row of the tables of versions."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 6 and cells[1].isdigit():
            yield cells


def domains(root: Path) -> list[str]:
    """Returns a row of the list for each domain string of the crates."""
    found = []
    for path in sorted((root / "crates").glob("*/src/**/*.rs")):
        for comment, domain in DOMAIN.findall(path.read_text()):
            said = " ".join(line.strip(" /") for line in comment.splitlines())
            found.append(f"| `{domain}` | `{path.relative_to(root).as_posix()}` | {said} |")
    return sorted(found)


def check(root: Path, write: bool = False) -> Iterator[str]:
    """Yields each difference between the page and the code."""
    page = root / PAGE
    text = page.read_text()
    before, _, _ = text.partition(HEAD)
    wanted = before + HEAD + "\n".join(domains(root)) + "\n"
    if write:
        page.write_text(wanted)
    elif text != wanted:
        yield f"{PAGE}:1: the domain strings aren't those of the crates: use tools/formats.py --write"
    targets = set(re.findall(r'\btarget\(\s*"(\w+)"', (root / TARGETS).read_text()))
    for name, number, _, _, constant, fuzzed in rows(before):
        for target in set(re.findall(r"`(\w+)`", fuzzed)) - targets:
            yield f"{PAGE}:1: {name}: {TARGETS} has no target {target}: correct one of them"
        if constant == "–":
            continue
        try:
            source, which = CONSTANT.findall(constant)[0]
            is_now = newest((root / source).read_text(), which)
        except (OSError, LookupError) as error:
            yield f"{PAGE}:1: {name}: its constant can't be read ({error}): name its file and the constant"
            continue
        if is_now != int(number):
            yield f"{PAGE}:1: {name}: its newest version is {is_now} in {source}, not {number}: correct one of them"


def main(arguments: list[str]) -> int:
    """Prints the faults; 1 when there are any."""
    faults = list(check(Path(__file__).resolve().parents[1], "--write" in arguments))
    print("\n".join(faults) or "formats: the page has what the code has")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
