"""Writes THIRD-PARTY.txt, which the wheel contains: its components and their licences.

`just licences` writes the file, and a test says when it is of another Cargo.lock. Where a crate lets one choose,
Apache-2.0 is chosen, whose text is LICENSE; the texts of all other licences, and notices, are in the file.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "THIRD-PARTY.txt"
CRATE = "rustorium-native"
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
CHOSEN = "Apache-2.0"
TEXT_NAMES = re.compile(r"(licen[cs]e|copying|unlicense|notice)([.\-_ ].*)?$", re.IGNORECASE)
NO_TEXT = (".rs", ".py", ".html", ".sh")
NOT_TAKEN = re.compile(
    r"Apache License\s+Version 2\.0|GNU GENERAL PUBLIC LICENSE|This is free and unencumbered", re.IGNORECASE
)
"""LICENSE has the first; RocksDB, zstd and some crates offer the others as the one of two that isn't taken."""
DEPTH_MAX = 3
"""Libraries in C lie deeper in the crates that bind them."""
HEAD = 300
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def metadata(target: str) -> dict[str, Any]:
    """Returns cargo's metadata of all packages on a target."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def packages() -> list[dict[str, Any]]:
    """Returns the third-party packages in the extension, by name and version."""
    found: dict[str, dict[str, Any]] = {}
    for target in TARGETS:
        known = metadata(target)
        by_id = {package["id"]: package for package in known["packages"]}
        nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
        waiting = [next(i for i, package in by_id.items() if package["name"] == CRATE)]
        seen = set(waiting)
        while waiting:
            for dependency in nodes[waiting.pop()]["deps"]:
                linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
                if linked and dependency["pkg"] not in seen:
                    seen.add(dependency["pkg"])
                    waiting.append(dependency["pkg"])
        found |= {i: by_id[i] for i in seen if by_id[i]["source"] is not None}
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def choices(expression: str) -> list[frozenset[str]]:
    """The sets of licences that one may take, of an SPDX expression."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either() -> list[frozenset[str]]:
        found = both()
        while words and words[0] == "OR":
            words.pop(0)
            found = found + both()
        return found

    def both() -> list[frozenset[str]]:
        found = one()
        while words and words[0] == "AND":
            words.pop(0)
            more = one()
            found = [a | b for a in found for b in more]
        return found

    def one() -> list[frozenset[str]]:
        word = words.pop(0)
        if word == "(":
            found = either()
            words.pop(0)
            return found
        if words and words[0] == "WITH":
            word = f"{word} {words.pop(0)} {words.pop(0)}"
        return [frozenset({word})]

    return either()


def chosen(package: dict[str, Any]) -> frozenset[str]:
    """Returns the licences under which the wheel uses the package: Apache-2.0 alone if it may be chosen."""
    return min(choices(package["license"]), key=lambda own: (len(own - {CHOSEN}), sorted(own)))


def texts(package: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The licences and notices in a package, by their path."""
    folder = Path(package["manifest_path"]).parent
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        wanted = TEXT_NAMES.match(path.name) and path.suffix not in NO_TEXT and len(place.parts) <= DEPTH_MAX
        if wanted and path.is_file():
            yield str(place), path.read_text(errors="replace").strip()


def demanded(package: dict[str, Any]) -> list[str]:
    """The texts that must go with the package: notices, and licences other than the chosen one."""
    all_texts = list(texts(package))
    under = chosen(package) - {CHOSEN}
    # Libraries of others that lie in a package have licences of their own.
    wanted = [text for place, text in all_texts if under or "/" in place or "notice" in place.lower()]
    wanted = [text for text in wanted if not NOT_TAKEN.search(text[:HEAD])]
    if wanted or not under:
        return wanted
    if under == {"MIT"}:
        return [f"Copyright (c) {', '.join(package['authors']) or 'its authors'}\n\n{MIT}"]
    sys.exit(f"{package['name']} is under {', '.join(sorted(under))} and has no text of it: add the text to this tool")


def report() -> str:
    """The whole file."""
    all_packages = packages()
    lines = [
        "What of others is in rustorium's extension, and under which licence. Written by `just licences`.",
        f"The text of {CHOSEN} is in LICENSE; all other texts, and notices, are below.",
        "",
    ]
    by_text: dict[str, list[str]] = {}
    for package in all_packages:
        name = f"{package['name']} {package['version']}"
        lines.append(f"{name}: {' AND '.join(sorted(chosen(package)))}")
        for text in demanded(package):
            by_text.setdefault("\n".join(line.rstrip() for line in text.splitlines()), []).append(name)
    for text, names in sorted(by_text.items(), key=lambda entry: (entry[1], entry[0])):
        unique = list(dict.fromkeys(names))
        lines += ["", "-" * 100, ", ".join(unique), "-" * 100, "", text]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    REPORT.write_text(report())
    print(f"{REPORT.relative_to(ROOT)}: {REPORT.stat().st_size:,} bytes")
