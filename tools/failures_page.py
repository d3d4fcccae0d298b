"""Makes docs/reference/failures.md: each failure code that a receipt can carry, from the Rust sources and from
`rustorium.failures`.

A code without advice, or advice without a code, is an error here, so that the page can't go out of date.
"""

import re
from pathlib import Path

from rustorium.failures import ADVICE

CRATES = Path(__file__).resolve().parents[1] / "crates"
ENUM, NAMES = CRATES / "types/src/transaction.rs", CRATES / "api/src/json/answers.rs"
INTRODUCTION = """\
A transaction whose operations can't all take effect is final all the same. Its receipt says `failed`, with a code and \
the number of the operation that failed, from 0. It has no effect except that its nonce is used and its work is paid \
for: sending the same bytes again changes nothing. Correct it, and send a new one.

In Python the code is `TransactionFailed.failure`, and `Receipt.failure.code`. On the command line it is in the error, \
and in the field `failure` of `-o json`. A client that has a genesis or checkpoint checks a failed receipt's proof \
before it reports it; without one, the error names the node on whose word it rests.
"""


def failures(enum: str, names: str) -> list[tuple[str, str]]:
    """Returns each code and its meaning, in the order of the enum. Errors: SystemExit if the two sources differ."""
    body = re.search(r"pub enum FailureCode \{(.*?)\n\}", enum, re.S)
    meant = {
        name: " ".join(part.strip(" /") for part in documented.strip().splitlines())
        for documented, name in re.findall(r"((?:^ *///.*\n)+) *(\w+) = \d+,", body.group(1) if body else "", re.M)
    }
    spelled = dict(re.findall(r'FailureCode::(\w+) => "([a-z-]+)"', names))
    if not meant or meant.keys() != spelled.keys():
        different = ", ".join(sorted(meant.keys() ^ spelled.keys()))
        raise SystemExit(f"tools/failures_page.py: the sources differ in their failure codes ({different})")
    return [(spelled[name], text) for name, text in meant.items()]


def page(written: str) -> str:
    """Returns the whole page; `written` says who made it. Errors: SystemExit."""
    found = failures(ENUM.read_text(), NAMES.read_text())
    if (different := {code for code, _ in found} ^ ADVICE.keys()) or any(not text for text in ADVICE.values()):
        raise SystemExit(f"tools/failures_page.py: rustorium.failures.ADVICE differs in {', '.join(sorted(different))}")
    rows = [f"| `{code}` | {meaning} | {ADVICE[code][:1].upper()}{ADVICE[code][1:]}. |" for code, meaning in found]
    table = "\n".join(["| code | meaning | what to do |", "|---|---|---|", *rows])
    return "\n".join(["# Failure codes\n", written, INTRODUCTION, table]) + "\n"
