"""Makes docs/reference/limits.md: every limit that a user can meet, with its value and sentence from the Rust sources.

A limit that was renamed or removed there is an error here, so that the page can't go out of date.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CRATES = Path(__file__).resolve().parents[1] / "crates"
SECTIONS: dict[str, tuple[str, ...]] = {
    "Transactions": (
        "TRANSACTION_BYTES_MAX",
        "OPERATIONS_MAX",
        "types:KEY_BYTES_MAX",
        "VALUE_BYTES_MAX",
        "SYMBOL_BYTES_MAX",
        "GRANT_PREFIXES_MAX",
        "Parameters.transaction_writes_max",
        "Parameters.expiry_ahead_ms_max",
        "SUBMISSION_TRANSACTIONS_MAX",
        "SUBMISSION_BYTES_MAX",
    ),
    "Zero knowledge": (
        "VERIFYING_KEY_BYTES_MAX",
        "GROTH16_PROOF_BYTES_MAX",
        "PUBLIC_INPUTS_MAX",
        "NAMED_INPUTS_MAX",
        "POOLS_MAX",
        "POWER_MAX",
        "CONTRIBUTIONS_MAX",
    ),
    "Chain": (
        "VALIDATORS_MAX",
        "OPERATORS_MAX",
        "PROPOSALS_MAX",
        "PAUSES_MAX",
        "GENESIS_ACCOUNTS_MAX",
        "GENESIS_BYTES_MAX",
        "types:NAME_BYTES_MAX",
        "BATCH_TRANSACTIONS_MAX",
        "BATCH_BYTES_MAX",
        "Parameters.batch_bytes_max",
        "Parameters.batch_transactions_max",
        "Parameters.block_bytes_max",
        "Parameters.block_transactions_max",
        "Parameters.block_work_max",
        "types:FRAME_BYTES_MAX",
    ),
    "Reads and proofs": (
        "PAGE_DEFAULT",
        "PAGE_MAX",
        "types:PROOF_KEYS_MAX",
        "PROOF_VALUE_BYTES_MAX",
        "types:PROOF_BYTES_MAX",
        "FILTER_TERMS_MAX",
    ),
    "A node's gateway": (
        "HttpLimits.connections_max",
        "HttpLimits.connections_per_address_max",
        "HttpLimits.event_streams_max",
        "HttpLimits.body_bytes_in_flight_max",
        "HttpLimits.event_lag_blocks_max",
    ),
}
"""Constants by name, those of one crate as `crate:NAME`, and fields of structs with defaults as `Struct.field`."""
NOTES = {
    "Chain": "Parameters are the defaults of a genesis, which may be tighter.",
    "A node's gateway": "What one client can use up is in [Security](../security.md).",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """One row of the page."""

    name: str
    value: int
    text: str


class Sources:
    """The Rust sources of all crates, searched by name."""

    def __init__(self, root: Path = CRATES) -> None:
        self._text = [
            (path.relative_to(root).parts[0], path.read_text()) for path in sorted(root.glob("*/src/**/*.rs"))
        ]

    def limit(self, name: str) -> Limit:
        """Errors: SystemExit if there is none of the name, or several that differ."""
        struct, dot, field = name.partition(".")
        found = set(self._fields(struct, field) if dot else self._constants(name))
        if len(found) != 1:
            raise SystemExit(f"tools/limits_page.py: {len(found)} limits are called {name}: correct SECTIONS")
        return found.pop()

    def _constants(self, name: str) -> Iterator[Limit]:
        wanted, _, name = name.rpartition(":")
        pattern = re.compile(rf"((?:^///.*\n)+)^pub const {name}: \w+ = ([^;]+);", re.M)
        for crate, text in self._text:
            for documented, value in pattern.findall(text) if wanted in ("", crate) else ():
                yield Limit(name, self._value(value), sentence(documented))

    def _fields(self, struct: str, field: str) -> Iterator[Limit]:
        for _, text in self._text:
            declared = re.search(rf"pub struct {struct} \{{(.*?)\n\}}", text, re.S)
            default = re.search(rf"impl Default for {struct} \{{(.*?)\n\}}", text, re.S)
            if declared is None or default is None:
                continue
            value = re.search(rf"\b{field}: ([^,]+),", default.group(1))
            documented = re.search(rf"((?: *///.*\n)+)(?: *#\[.*\n)* *pub {field}:", declared.group(1))
            if value is not None and documented is not None:
                yield Limit(field, self._value(value.group(1)), sentence(documented.group(1)))

    def _value(self, expression: str) -> int:
        """The value of products of whole numbers and other constants."""
        value = 1
        for factor in expression.split("*"):
            word = factor.strip().replace("_", "" if factor.strip()[0].isdigit() else "_")
            value *= int(word) if word.isdigit() else self.limit(word).value
        return value


def sentence(documented: str) -> str:
    """The text of a doc comment, on one line."""
    return " ".join(line.strip().removeprefix("///").strip() for line in documented.strip().splitlines())


def shown(limit: Limit) -> str:
    """The value with its unit, as the name says it."""
    if "bytes" in limit.name.lower():
        for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if limit.value % size == 0:
                return f"{limit.value // size:,} {unit}"
        return f"{limit.value:,} bytes"
    if limit.name.endswith("_ms_max"):
        return f"{limit.value // 1000:,} s"
    return f"{limit.value:,}"


def page(written: str) -> str:
    """The whole page; `written` says who made it."""
    sources, parts = Sources(), ["# Limits\n", written]
    links = "Limits of links are in [Links](../links.md)."
    parts.append(f"What is larger is refused with a sentence that names the limit. {links}\n")
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        if title in NOTES:
            parts.append(f"{NOTES[title]}\n")
        rows = [f"| {one.text} | {shown(one)} | `{one.name}` |" for one in map(sources.limit, names)]
        parts.append("\n".join(["| limit | value | name |", "|---|--:|---|", *rows]) + "\n")
    return "\n".join(parts)
