"""The kinds of files in a home that `test_damage.py` damages, those that a devnet's home lacks, and the other programs
that read them.

Invariants: of a damaged file a reader makes the result of the intact file, or a typed error with a code. Only from the
supervisor's records it may make another record, because no node relies on them.
"""

from collections.abc import Callable
from pathlib import Path

from rustorium import _native
from rustorium.access.passphrases import read_passphrase
from rustorium.errors import RustoriumError
from rustorium.health.catalogue import Act
from rustorium.health.plan import Step, Trouble
from rustorium.home.paths import Home
from rustorium.home.tokens import Role, Scope, issue, load
from rustorium.node.loop.watch import wall_ms
from rustorium.node.recovery.state import RecoveryState, last_end, read_recovery, supervisor_state

KINDS = {
    "config": "config.toml",
    "format": "format.json",
    "genesis": "genesis.json",
    "node key": "node.key",
    "validator key": "validator.key",
    "storage key": "storage.key",
    "backup key": "backup.key",
    "tokens": "tokens.json",
    "journal segment": "safety/segment-*.log",
    "retirement": "safety/retired",
    "key versions": "db/keys",
    "table file": "db/*.sst",
    "write-ahead log": "db/*.log",
    "manifest": "db/MANIFEST-*",
    "manifest length": "db/manifest-length",
    "current": "db/CURRENT",
    "options": "db/OPTIONS-*",
    "identity": "db/IDENTITY",
    "audit log": "audit/audit.jsonl",
    "input log": "log/inputs/*",
    "node log": "log/node.jsonl",
    "state tables": "cache/rustorium/*.tbl",
    "supervisor's record": "run/recovery.json",
    "end's record": "run/ended.json",
}
"""Places of each kind of file in a home. The tables are in a cache folder, which the long form puts into the home."""
RECORDS = ("supervisor's record", "end's record")
"""Kinds that no node reads, so no node is started for them."""
RETIRED = "the validator key is retired and signs nothing more: a peer showed a vote with its signature"


def make_files(home: Path) -> None:
    """Makes the files that only some homes have."""
    issue(home / "tokens.json", "ops", Role.operate, Scope.submit, wall_ms() + 10**9, wall_ms())
    _native.new_backup_key(str(home / "backup.key"), _passphrase(home))
    state = RecoveryState(Home(home))
    state.did(Step(Act.REFILL, Trouble("store-corrupt", "a row is not what was written"), 0, "it is filled anew"), 1)
    state.tell("asks", reason="a person is needed", code="journal-retired")
    (home / "run" / "ended.json").write_text('{"code": "disk-full", "evidence": "no space left", "at_ms": 1}')


def retire(home: Path) -> None:
    """Writes the mark with which the data plane retires a key."""
    (home / "safety" / "retired").write_text(RETIRED)


def _passphrase(home: Path) -> bytes:
    return read_passphrase(home.parent.parent / "passphrase")


def _backup_key(home: Path) -> object:
    place = str(home.parent / "backups")
    _native.Backups(place, str(home / "backup.key"), _passphrase(home), make=True)
    return "opens"


def _supervisor(home: Path) -> object:
    """Reads a file as `recover auto` and `status check` do."""
    found = Home(home)
    supervisor_state(found)
    return RecoveryState(found).history(), read_recovery(found)


READERS: dict[str, Callable[[Path], object]] = {
    "tokens": lambda home: load(home / "tokens.json"),
    "backup key": _backup_key,
    "supervisor's record": _supervisor,
    "end's record": lambda home: last_end(Home(home)),
}


def read(kind: str, home: Path) -> object:
    """Reads a file of this kind as programs other than the node do. Returns the result, or the code of the refusal;
    `None` if no other program reads it."""
    if kind not in READERS:
        return None
    try:
        return READERS[kind](home)
    except (RustoriumError, _native.NativeError) as error:
        return f"[{error.code}]"
