"""Broken rules of the core, of the model of its data plane and of the client: each replacement, and the test that finds
it.

Invariants: each replacement breaks one rule in one place; the tests and seeds that find it don't know of it.
`test_mutations.py` plays the seeds, and `tools/seeded_bugs.py` tests all replacements. As a pytest plugin
(`BROKEN_RULE="R3: ..." python -m pytest -p broken_rules tests/consensus`, with this folder on the path) this module
breaks one rule for a whole run, in which the tests that `shown_by` names must fail.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from breaking import SEEDS_MAX, Broken, Seeds
from broken_client_rules import CLIENT_RULES
from model.peers import Peers
from model.plane import DataPlane
from model.port import SimPort
from model.run import run_seed
from model.scenario import Mode
from model.world import World
from rustorium.cli import audit
from rustorium.client import (
    events,
    prooffile,
    settings,
    signing,
    signingfile,
    state,
    wire,
    words,
)
from rustorium.client.base import ClientBase
from rustorium.client.floors import Floors
from rustorium.client.light import LightClient
from rustorium.client.signing import SigningMethods
from rustorium.client.signingfile import SigningFile
from rustorium.client.state import StateMethods
from rustorium.client.transport import Transport
from rustorium.client.witnesses import Witnesses
from rustorium.consensus.chain import Chain, Parent
from rustorium.consensus.leader import Work
from rustorium.consensus.machine import Machine
from rustorium.consensus.pacemaker import NS_PER_MS, Pacemaker, Phase
from rustorium.consensus.reach import FLOOR_NS_MAX, Reach
from rustorium.consensus.safety import VoteGuard
from rustorium.consensus.schedule import Schedule
from rustorium.consensus.turns import Turns
from rustorium.consensus.views import Runs
from rustorium.consensus.vocabulary import (
    BlockFacts,
    Heartbeat,
    OwnVote,
    PayloadStatus,
    PeerSilence,
    Proposed,
    SendCertificate,
)
from rustorium.health import verdict
from rustorium.health.detect import Detector
from rustorium.home.paths import Home
from rustorium.node.loop.driver import Driver
from rustorium.observe.nodelogs.lines import LogFile


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


def certificate_without_journal(plane: Any, certificate: Any) -> None:
    plane._disk.append = lambda epoch, record: None
    try:
        CERTIFICATE(plane, certificate)
    finally:
        del plane._disk.append


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


def content_without_roots(chain: Any, view: int) -> bool:
    known = chain.blocks
    chain.blocks = {digest: replace(block, rooted_height=0) for digest, block in known.items()}
    try:
        return bool(HAS_CONTENT(chain, view))
    finally:
        chain.blocks = known


def owed_for_empty_heights(work: Any, chain: Any, entered_at: int) -> int | None:
    final = chain.final_facts()
    known, chain.payload_height = chain.payload_height, chain.payload_height if final is None else final.height
    try:
        owed: int | None = OWED(work, chain, entered_at)
        return owed
    finally:
        chain.payload_height = known


def any_root_will_do(_plane: Any, _block: Any, _parent: Any) -> PayloadStatus:
    return PayloadStatus.READY


def content_without_boundaries(chain: Any, view: int) -> bool:
    known = chain.blocks
    chain.blocks = {digest: replace(block, ends_epoch=False) for digest, block in known.items()}
    try:
        return bool(HAS_CONTENT(chain, view))
    finally:
        chain.blocks = known


def boundary_as_it_is(chain: Any, final: BlockFacts, payload_height: int) -> None:
    NEW_CHAIN(chain, final, payload_height)
    chain.blocks[final.digest] = final


def any_effect(port: Any, effects: Sequence[Any]) -> None:
    for effect in effects:
        port._carry_out(effect)


def emit_whatever(machine: Any, effect: Any) -> None:
    machine._out.append(effect)


def end_only_above_the_newest_finalization(peers: Any, end: Any) -> None:
    if end.proof.view > peers._final_view:
        TAKE_END(peers, end)


def begin_without_sync(port: Any) -> None:
    port._disk.sync_store = lambda: None
    try:
        START(port)
    finally:
        del port._disk.sync_store


def signed_in_any_epoch(world: Any, _epoch: int, certificate: Any) -> bool:
    return any(certificate == genuine for _, genuine in world._genuine)


def sends_nothing_on(machine: Any, effect: Any) -> None:
    if not isinstance(effect, SendCertificate):
        EMIT(machine, effect)


def newest_certified(chain: Chain, view: int) -> Parent:
    newest = chain.notarized.newest_below(view)
    below = chain.final_view if newest is None else newest
    digest = chain.certified(below)
    assert digest is not None
    return Parent(below, digest)


def leads_again(machine: Any) -> bool:
    view = machine._pace.view
    return bool(machine._leader == machine._me and not machine._guard.has_nullified(view))


def final_once_seen(machine: Any, certificate: Any, digest: bytes) -> None:
    if digest in machine._chain.blocks:
        FINALIZE(machine, certificate, digest)


def learns_whatever_is_ahead(machine: Any, block: BlockFacts, status: PayloadStatus) -> None:
    machine._chain.learn(block, status)


def skips_in_full_cycles(turns: Any, _now: int, view: int) -> bool:
    return turns._schedule.leader(view) in turns.listed


def terms_by_views_alone(turns: Any, now: int, view: int, _took_ns: int) -> None:
    LOST(turns, now, view, 0)


def early_within_the_doubled_timer(pace: Any, proposed: int, since: int | None) -> bool:
    return since is None or proposed - max(since, pace.entered_at) <= 3 * pace.common_ns


def early_ends_any_doubling(turns: Any, view: int, early: bool, quick: bool) -> None:
    NOTARIZED(turns, view, early, quick)
    if early:
        turns._late.discard(turns._schedule.leader(view))


def comes_back_to_the_timer_as_it_is(machine: Any, now: int, event: Any) -> None:
    if isinstance(event, Proposed):
        machine._turns.proposed(now, event.view, 2 * machine._pace.doubled_ns)
    else:
        TAKE(machine, now, event)


def gives_up_with_any(machine: Any, now: int) -> None:
    if machine._work.opposed(machine._pace.view):
        machine._give_up(now, tell=False)
    else:
        PASS_OVER(machine, now)


def floor_by_the_longest(reach: Any, _leader: int) -> int:
    return max(reach._config.delta_floor_ms * NS_PER_MS, min(5 * reach.longest_ns // 4, FLOOR_NS_MAX))


def delay_of_leaders(reach: Any, least_ms: int, _leads: bool) -> int:
    delay: int = DELAY_NS(reach, least_ms, True)
    return delay


def enters_and_forgets_nothing(turns: Any, now: int, view: int, _final_view: int) -> None:
    turns._window = 1 << 62
    ENTERED(turns, now, view, view)


def claims_what_is_ready(work: Any, _parent: BlockFacts) -> int:
    return int(work.ready_claim)


def gives_up_as_without_a_proposal(pace: Any, since: Any, _at: Any, working: bool) -> tuple[Phase, int] | None:
    phase: tuple[Phase, int] | None = NEXT_PHASE(pace, since, None, working)
    return phase


def hears_no_silence(machine: Any, now: int, event: Any) -> None:
    if not isinstance(event, PeerSilence):
        TAKE(machine, now, event)


def beats_not(machine: Any, effect: Any) -> None:
    if not isinstance(effect, Heartbeat):
        EMIT(machine, effect)


def asks_for_any_height(client: Any, *arguments: Any, **named: Any) -> Any:
    client._floors, client.light.verified_height = Floors(), 0
    return ASK(client, *arguments, **named)


def counts_all_shards_alike(floors: Any, receipt: Any, now_ms: int) -> None:
    WRITE(floors, replace(receipt, shard=0), now_ms)


def calls_a_standing_chain_well(detector: Any, vitals: Any) -> Iterator[Any]:
    return (sign for sign in CHAIN_SIGNS(detector, vitals) if sign[0] != "chain-stands")


async def confirms_anything(*_arguments: Any) -> None:
    pass


JUDGE, CERTIFICATE, START, OPEN_FRAME = Chain.judge, DataPlane._certificate, SimPort.start, SimPort._open_frame
HAS_CONTENT, OWED = Chain.has_content, Work._owed_claim_since
ENTERED, LOST, NOTARIZED = Turns.entered, Turns.lost, Turns.notarized
NEW_CHAIN, TAKE_END = Chain.__init__, Peers._take_end
EMIT, FINALIZE, NEXT_PHASE, TAKE = Machine._emit, Machine._finalize, Pacemaker.next_phase, Machine._take
NO_GUARDS = ((VoteGuard, "cast", cast_anything), (SimPort, "_sign", sign_anything))
ASK, WRITE = StateMethods._ask, Floors.write
CHAIN_SIGNS = Detector._chain_signs
VOTES, TIME = "tests/consensus/test_votes.py", "tests/consensus/test_time.py"
TURNS, REACH = "tests/consensus/test_turns.py", "tests/consensus/test_reach.py"
ROOTS = "tests/consensus/test_root_claims.py"
PASS_OVER, DELAY_NS, WITHOUT = Machine._pass_over, Reach._delay_ns, Reach.without
FILES, CHECKS = "tests/client/test_signing_files.py", "tests/client/test_signing_checks.py"


def _seeds(mode: Mode, first: int, *changes: tuple[Any, str, Any]) -> Broken:
    return Broken(changes, Seeds(mode, first))


def _tests(shown_by: str, *changes: tuple[Any, str, Any]) -> Broken:
    return Broken(changes, shown_by)


RULES: dict[str, Broken] = {
    "R1: another leader": _tests(VOTES, (Schedule, "leader", lambda schedule, view: (view + 1) % len(schedule._all))),
    "R2: a certificate isn't sent on": _tests(VOTES, (Machine, "_emit", sends_nothing_on)),
    "R3: a leader builds around a view": _tests(VOTES, (Chain, "newest_parent", newest_certified)),
    "R4: a leader proposes again": _tests(VOTES, (Machine, "_may_lead", leads_again)),
    "R5: no look at the nullifications between": _seeds(
        Mode.SAFETY, 2720, (Chain, "judge", judge_without_nullifications)
    ),
    "R5: voters take any state root": _seeds(Mode.SAFETY, 0, (DataPlane, "_root_status", any_root_will_do)),
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
    "R9: final only once its block is seen": _tests(VOTES, (Machine, "_finalize", final_once_seen)),
    "R10: proposals of any view are kept": _tests(VOTES, (Machine, "_learn", learns_whatever_is_ahead)),
    "R11: an end that is due is no work": _seeds(Mode.EPOCHS, 0, (Work, "end_due", lambda *_: None)),
    "R12: unfinal content is no work": _seeds(Mode.LIVENESS, 0, (Work, "_unfinal_content_since", lambda *_: None)),
    "R12: a new state root is no content": _tests(ROOTS, (Chain, "has_content", content_without_roots)),
    "R13: a root is never owed": _seeds(Mode.LIVENESS, 0, (Work, "_owed_root_since", lambda *_: None)),
    "R13: empty heights are owed": _seeds(Mode.LIVENESS, 0, (Work, "_owed_claim_since", owed_for_empty_heights)),
    "R13: no root is made ahead": _seeds(Mode.LIVENESS, 0, (DataPlane, "_ahead", lambda *_: None)),
    "R14: a claim above the parent": _tests(TIME, (Work, "claim_height", claims_what_is_ready)),
    "R15: a proposal buys no time": _tests(TIME, (Pacemaker, "next_phase", gives_up_as_without_a_proposal)),
    "R16: the timeout stays as it is": _tests(TURNS, (Pacemaker, "back_off", lambda *_: None)),
    "R16: no leader has a doubling of his own": _tests(TURNS, (Turns, "late", lambda *_: 0)),
    "R16: a late proposal ends the doubling": _tests(TURNS, (Pacemaker, "early", early_within_the_doubled_timer)),
    "R16: one early proposal ends any doubling": _tests(TURNS, (Turns, "notarized", early_ends_any_doubling)),
    "R16: no doubling in a view that runs": _tests(TURNS, (Machine, "_take", comes_back_to_the_timer_as_it_is)),
    "R17b: a leader that loses its turns isn't passed over": _tests(TURNS, (Turns, "skips", lambda *_: False)),
    "R17b: full cycles are passed over too": _tests(TURNS, (Turns, "skips", skips_in_full_cycles)),
    "R17b: terms are counted in views alone": _tests(TURNS, (Turns, "lost", terms_by_views_alone)),
    "R17b: lists are never forgotten": _tests(TURNS, (Turns, "entered", enters_and_forgets_nothing)),
    "R17b: nobody comes back by proposing": _tests(TURNS, (Turns, "proposed", lambda *_: None)),
    "R17b: turns that others end late are nobody's": _tests(TURNS, (Machine, "_lose_to_others", lambda *_: None)),
    "R17c: nobody gives up with f + 1 others": _tests(TURNS, (Work, "opposed", lambda *_: False)),
    "R17c: leaders in time are given up, too": _tests(TURNS, (Machine, "_pass_over", gives_up_with_any)),
    "R53: one late echo slows all leaders": _tests(REACH, (Reach, "floor_ns", floor_by_the_longest)),
    "R53: voters wait as long as leaders": _tests(REACH, (Reach, "_delay_ns", delay_of_leaders)),
    "R53: silent peers count as near": _tests(REACH, (Reach, "without", lambda reach, _: WITHOUT(reach, ()))),
    "R17: silence isn't heard": _tests(TIME, (Machine, "_take", hears_no_silence)),
    "R18: work is never sent": _seeds(Mode.LIVENESS, 90, (SimPort, "_send_work", lambda *_: None)),
    "R19: no heartbeat": _seeds(Mode.LIVENESS, 30, (Machine, "_emit", beats_not)),
    "R20: a costly lane is trusted on": _tests(TIME, (Work, "distrusted", lambda *_: ())),
    "R21: no sync before a vote leaves": _seeds(Mode.SAFETY, 0, (DataPlane, "_sync_then", no_sync)),
    "R21: certificates not on disk": _seeds(
        Mode.LIVENESS, 30, (DataPlane, "_certificate", certificate_without_journal)
    ),
    "R21: payload not on disk": _seeds(Mode.LIVENESS, 0, (SimPort, "_journal_payload", lambda *_: None)),
    "R21: heartbeats carry votes before their sync": _seeds(
        Mode.SAFETY, 0, (SimPort, "_open_frame", open_frame_with_unsynced_votes)
    ),
    "R21: no sync of the journal at start": _seeds(Mode.LIVENESS, 550, (SimPort, "start", start_without_sync)),
    "R22: a restart forgets its votes": _tests(VOTES, (VoteGuard, "restore", lambda *_: None)),
    "R23: a refused vote isn't spent": _tests(VOTES, (VoteGuard, "refused", lambda *_: None)),
    "R24: a diverged node votes on": _tests(VOTES, (VoteGuard, "halt", lambda *_: None)),
    "R25: what doesn't come isn't asked for again": _tests(VOTES, (Machine, "_forget_requests", lambda _: None)),
    "R28: a boundary is no content": _seeds(Mode.EPOCHS, 28, (Chain, "has_content", content_without_boundaries)),
    "R28: voters take any epoch end": _seeds(Mode.EPOCHS, 40, (DataPlane, "_ending_status", any_root_will_do)),
    "R28: closing blocks are executed": _seeds(Mode.EPOCHS, 90, (DataPlane, "_over", False)),
    "R29: an epoch's first block is a closing block": _seeds(Mode.EPOCHS, 0, (Chain, "__init__", boundary_as_it_is)),
    "R29: effects of an older epoch are carried out": _seeds(Mode.EPOCHS, 36, (SimPort, "submit", any_effect)),
    "R30: followers vote": _seeds(
        Mode.EPOCHS, 0, (VoteGuard, "halt", lambda _: None), (Machine, "_emit", emit_whatever)
    ),
    "R31: nobody is told of an end": _seeds(Mode.EPOCHS, 0, (Peers, "_of_another_epoch", lambda *_: None)),
    "R31: no end beside a newer finalization": _seeds(
        Mode.EPOCHS, 60, (Peers, "_take_end", end_only_above_the_newest_finalization)
    ),
    "R31: a committee's certificates count in every epoch": _seeds(
        Mode.EPOCHS, 105, (World, "is_genuine", signed_in_any_epoch)
    ),
    "R32: the epoch's start is not on disk": _seeds(Mode.EPOCHS, 0, (SimPort, "start", begin_without_sync)),
    "reads: a client goes back to an older state": _tests(
        "tests/client/test_verified_reads.py", (StateMethods, "_ask", asks_for_any_height)
    ),
    "reads: a write in one shard is waited for in another": _tests(
        "tests/client/test_verified_reads.py", (Floors, "write", counts_all_shards_alike)
    ),
    "events: ids of an earlier release are none": _tests(
        "tests/client/test_events.py", (events, "PLACE", re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)"))
    ),
    "reads: a proof may have any age": _tests(
        "tests/client/test_witnesses.py", (StateMethods, "_max_age", lambda _client, _max_age_s: None)
    ),
    "reads: a witness confirms whatever it has": _tests(
        "tests/client/test_witnesses.py", (Witnesses, "confirm", confirms_anything)
    ),
    "reads: a node may wait as long as its client": _tests(
        "tests/client/test_verified_reads.py", (state, "WAIT_SHARE", 1.0)
    ),
    "status: a silent member is connected": _tests("tests/cli/test_status.py", (verdict, "_silent", lambda _node: 0)),
    "status: a chain that stands is well": _tests(
        "tests/health/test_detect.py", (Detector, "_chain_signs", calls_a_standing_chain_well)
    ),
    "status: nobody is ahead of a net that stands": _tests(
        "tests/cli/test_status.py", (verdict, "_stands", lambda _heard: iter(()))
    ),
    "audit: an anchor may have any age": _tests(
        "tests/cli/test_audit_commands.py", (audit, "_check_age", lambda _written_ms, _allowed_s: None)
    ),
    "logs: the files before the newest one are not read": _tests(
        "tests/observe/test_nodelogs.py", (LogFile, "_aside", lambda _log: [])
    ),
    "reads: a trust file keeps no height": _tests(
        "tests/client/test_verified_reads.py", (LightClient, "verified", lambda _light, _height: None)
    ),
    "reads: a trust file's digest is of nothing": _tests(
        "tests/client/test_trust_files.py", (prooffile, "_digest", lambda _height, _state: "")
    ),
    "reads: a stopped net is asked to the deadline": _tests(
        "tests/client/test_slow_nodes.py", (Transport, "is_stopped", lambda *_: False)
    ),
    "V15: a client signs a form that is not proven": _tests(
        "tests/client/test_signed_form.py", (ClientBase, "_has_version_2", lambda _client: True)
    ),
    "V25: words are believed": _tests(FILES, (SigningFile, "_compare_words", lambda _file, _given: None)),
    "V25: an operation without words is signed": _tests(FILES, (words, "words", lambda _number, _one, _sender: "it")),
    "V25: a signature of anybody counts": _tests(FILES, (signingfile, "_check_signature", lambda *_: None)),
    "V17: a file is sent with fewer signatures": _tests(FILES, (SigningFile, "missing", 0)),
    "V25: a key signs for any authority": _tests(CHECKS, (signing, "_check_authority", lambda _given, _record: None)),
    "V28: no change is due": _tests("tests/client/test_settings.py", (settings, "in_effect", lambda held, _: held)),
    "V25: a key signs for any chain": _tests(CHECKS, (SigningMethods, "_check_chain", lambda _client, _file: None)),
    "shards: each store that is moved aside is the root's": _tests(
        "tests/node/test_quarantine.py", (Home, "db_of", lambda home, _shard: home.db)
    ),
    "shards: a core that hangs is not seen": _tests("tests/node/test_driver.py", (Driver, "busy_ms", 0)),
    "codes: a client knows the newest spelling alone": _tests(
        "tests/client/test_earlier_codes.py", (wire, "spelled", str)
    ),
    "R35: what was lost to all stays so": _tests(
        "tests/consensus/test_late_nullify.py", (Machine, "_nullify_late", lambda _machine, _now: None)
    ),
    **CLIENT_RULES,
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
