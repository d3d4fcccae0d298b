"""Broken rules of the core, of the model of its data plane and of the client, with the test that finds each.

Invariants: each replacement breaks one rule in one place, and would fork the chain, forge what a client believes, or
make it sign or send twice; the tests and seeds that find it don't know of it.
`test_mutations.py` plays the seeds, and `tools/seeded_bugs.py` tests all replacements. As a pytest plugin
(`BROKEN_RULE="R7: ..." python -m pytest -p broken_rules tests/consensus`, with this folder on the path) this module
breaks one rule for a whole run, in which the tests that `shown_by` names must fail.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from breaking import SEEDS_MAX, Broken, Seeds
from model.plane import DataPlane
from model.port import SimPort
from model.run import run_seed
from model.scenario import Mode
from model.world import World
from rustorium.client import governance, prooffile, sender, submit, transactions
from rustorium.client.signing import SigningMethods
from rustorium.client.signingfile import SigningFile
from rustorium.consensus.chain import Chain
from rustorium.consensus.machine import Machine
from rustorium.consensus.safety import VoteGuard
from rustorium.consensus.views import Runs
from rustorium.consensus.vocabulary import OwnVote, PayloadStatus


def sign_anything(port: Any, vote: OwnVote) -> bool:
    port._own_votes.append(vote)
    port._journal(vote)
    return True


def cast_anything(guard: Any, kind: Any, view: int, digest: Any) -> None:
    guard._note(kind, view, digest)


def every_view() -> Runs:
    views = Runs()
    for view in range(10_000):
        views.add(view)
    return views


def judge_without_nullifications(chain: Any, block: Any) -> Any:
    known, chain.nullified = chain.nullified, every_view()
    try:
        return JUDGE(chain, block)
    finally:
        chain.nullified = known


def no_sync(plane: Any, call: Callable[..., None], *arguments: object) -> None:
    plane._later(plane._pace.sync_ms, call, *arguments)


def start_without_sync(port: Any) -> None:
    port._disk.synced = lambda mark: None
    try:
        START(port)
    finally:
        del port._disk.synced


def open_frame_with_unsynced_votes(port: Any, proposals: bool) -> Any:
    port._left = set(port._own_votes)
    return OPEN_FRAME(port, proposals)


def any_root_will_do(_plane: Any, _block: Any, _parent: Any) -> PayloadStatus:
    return PayloadStatus.READY


def emit_whatever(machine: Any, effect: Any) -> None:
    machine._out.append(effect)


def begin_without_sync(port: Any) -> None:
    port._disk.sync_store = lambda: None
    try:
        START(port)
    finally:
        del port._disk.sync_store


def signed_in_any_epoch(world: Any, _epoch: int, certificate: Any) -> bool:
    return any(certificate == genuine for _, genuine in world._genuine)


JUDGE, START, OPEN_FRAME = Chain.judge, SimPort.start, SimPort._open_frame
NO_GUARDS = ((VoteGuard, "cast", cast_anything), (SimPort, "_sign", sign_anything))
VOTES, NONCES = "tests/consensus/test_votes.py", "tests/client/test_nonce_use.py"
FILES, CHECKS = "tests/client/test_signing_files.py", "tests/client/test_signing_checks.py"
LIARS, GOVERNING = "tests/client/test_lying_nodes.py", "tests/client/test_governing.py"


def _seeds(mode: Mode, first: int, *changes: tuple[Any, str, Any]) -> Broken:
    return Broken(changes, Seeds(mode, first))


def _tests(shown_by: str, *changes: tuple[Any, str, Any]) -> Broken:
    return Broken(changes, shown_by)


RULES: dict[str, Broken] = {
    "R5: no look at the nullifications between": _seeds(
        Mode.SAFETY, 2720, (Chain, "judge", judge_without_nullifications)
    ),
    "R6: two notarizes in a view": _seeds(
        Mode.SAFETY, 0, *NO_GUARDS, (VoteGuard, "may_notarize", lambda g, view: g._open(view))
    ),
    "R7: nullify after finalize": _tests(
        VOTES, (VoteGuard, "may_nullify", lambda g, view: g._open(view) and view not in g._nullified)
    ),
    "R8: finalize after nullify": _seeds(
        Mode.SAFETY,
        0,
        *NO_GUARDS,
        (VoteGuard, "may_finalize", lambda g, view: g._open(view) and view not in g._finalized),
    ),
    "R21: no sync before a vote leaves": _seeds(Mode.SAFETY, 0, (DataPlane, "_sync_then", no_sync)),
    "R21: payload not on disk": _seeds(Mode.LIVENESS, 0, (SimPort, "_journal_payload", lambda *_: None)),
    "R21: heartbeats carry votes before their sync": _seeds(
        Mode.SAFETY, 0, (SimPort, "_open_frame", open_frame_with_unsynced_votes)
    ),
    "R21: no sync of the journal at start": _seeds(Mode.LIVENESS, 550, (SimPort, "start", start_without_sync)),
    "R22: a restart forgets its votes": _tests(VOTES, (VoteGuard, "restore", lambda *_: None)),
    "R23: a refused vote isn't spent": _tests(VOTES, (VoteGuard, "refused", lambda *_: None)),
    "R24: a diverged node votes on": _tests(VOTES, (VoteGuard, "halt", lambda *_: None)),
    "R28: voters take any epoch end": _seeds(Mode.EPOCHS, 40, (DataPlane, "_ending_status", any_root_will_do)),
    "R30: followers vote": _seeds(
        Mode.EPOCHS, 0, (VoteGuard, "halt", lambda _: None), (Machine, "_emit", emit_whatever)
    ),
    "R31: a committee's certificates count in every epoch": _seeds(
        Mode.EPOCHS, 105, (World, "is_genuine", signed_in_any_epoch)
    ),
    "R32: the epoch's start is not on disk": _seeds(Mode.EPOCHS, 0, (SimPort, "start", begin_without_sync)),
    "reads: a trust file's digest is of nothing": _tests(
        "tests/client/test_trust_files.py", (prooffile, "_digest", lambda _height, _state: "")
    ),
    "V25: words are believed": _tests(FILES, (SigningFile, "_compare_words", lambda _file, _given: None)),
    "V25: a key signs for any chain": _tests(CHECKS, (SigningMethods, "_check_chain", lambda _client, _file: None)),
    "V39: a change beside another hash is believed": _tests(
        GOVERNING, (governance, "check_hashes", lambda _said: None)
    ),
    "V51: parameters that nobody certified are believed": _tests(
        GOVERNING, (governance, "check_parameters", lambda _shown, _certified: None)
    ),
    "writes: one node's refusal is believed": _tests(LIARS, (submit, "BELIEVED", 1)),
    "writes: a failed verdict needs no proof": _tests(LIARS, (sender, "_failed_unproven", lambda _result: False)),
    "writes: who used a nonce needs no proof": _tests(NONCES, (transactions, "for_its_nonce", lambda _result: False)),
    "writes: what was too cheap gets a nonce of its own": _tests(
        NONCES, (transactions, "_keeps_nonce", lambda _result: False)
    ),
}


def rule_of_this_run() -> Broken | None:
    """Returns the rule that the environment names."""
    name = os.environ.get("BROKEN_RULE")
    return RULES[name] if name else None


def pytest_configure() -> None:
    """Breaks the rule before any test module is read."""
    broken = rule_of_this_run()
    for owner, attribute, now in broken.changes if broken is not None else ():
        setattr(owner, attribute, now)


def main() -> int:
    """Plays the seeds with the rule broken that the environment names; returns 1 if one fails, as it should."""
    broken = rule_of_this_run()
    if broken is None or not isinstance(broken.shown_by, Seeds):
        sys.exit("name a rule that seeds show in BROKEN_RULE")
    with broken.applied():
        caught = broken.shown_by.caught()
    if caught is None:
        print(f"no seed of {SEEDS_MAX} noticed")
        return 0
    print(caught.line())
    kept = run_seed(caught.seed, caught.mode)
    print("" if kept.ok else f"but it fails with the rule kept too: {kept.failure}")
    return int(kept.ok)


if __name__ == "__main__":
    sys.exit(main())
