"""The watchmen watched: with one rule broken, the seeds find it.

Invariants: each mutation breaks core or data plane in one place; none is caught by chance of a single seed's luck
alone, as a range of seeds is searched and the first catch ends it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rustorium.consensus.chain import Chain
from rustorium.consensus.leader import Work
from rustorium.consensus.machine import Machine
from rustorium.consensus.pacemaker import Pacemaker
from rustorium.consensus.safety import VoteGuard
from rustorium.consensus.vocabulary import BlockFacts, OwnVote, PayloadStatus
from rustorium.sim.peers import Peers
from rustorium.sim.plane import DataPlane
from rustorium.sim.port import SimPort
from rustorium.sim.run import run_many
from rustorium.sim.scenario import Mode
from rustorium.sim.world import World

Mutation = Sequence[tuple[Any, str, Any]]


def sign_anything(port: Any, vote: OwnVote) -> bool:
    port._own_votes.append(vote)
    port._journal(vote)
    return True


def cast_anything(guard: Any, kind: Any, view: int, digest: Any) -> None:
    guard._note(kind, view, digest)


def judge_without_nullifications(chain: Any, block: Any) -> Any:
    known, chain.nullified = chain.nullified, set(range(10_000))
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


def gave_up_without_doubling(pace: Any, now: int, own_timer: bool) -> None:
    pace._resend_at = now + pace.delta_ns


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


JUDGE, CERTIFICATE, START, OPEN_FRAME = Chain.judge, DataPlane._certificate, SimPort.start, SimPort._open_frame
HAS_CONTENT, OWED = Chain.has_content, Work._owed_claim_since
NEW_CHAIN, TAKE_END = Chain.__init__, Peers._take_end
NO_GUARDS: Mutation = ((VoteGuard, "cast", cast_anything), (SimPort, "_sign", sign_anything))

MUTATIONS: dict[str, tuple[Mode, int, Mutation]] = {
    "R8: finalize after nullify": (
        Mode.SAFETY,
        0,
        (*NO_GUARDS, (VoteGuard, "may_finalize", lambda g, view: g._open(view) and view not in g._finalized)),
    ),
    "R6: two notarizes in a view": (
        Mode.SAFETY,
        0,
        (*NO_GUARDS, (VoteGuard, "may_notarize", lambda g, view: g._open(view))),
    ),
    "R5: no look at the nullifications between": (Mode.SAFETY, 2600, ((Chain, "judge", judge_without_nullifications),)),
    "R12: unfinal content is no work": (Mode.LIVENESS, 0, ((Work, "_unfinal_content_since", lambda *_: None),)),
    "R12: a new state root is no content": (Mode.LIVENESS, 1200, ((Chain, "has_content", content_without_roots),)),
    "R13: a root is never owed": (Mode.LIVENESS, 0, ((Work, "_owed_root_since", lambda *_: None),)),
    "R13: empty heights are owed": (Mode.LIVENESS, 0, ((Work, "_owed_claim_since", owed_for_empty_heights),)),
    "no root is made ahead": (Mode.LIVENESS, 0, ((DataPlane, "_ahead", lambda *_: None),)),
    "voters take any state root": (Mode.SAFETY, 0, ((DataPlane, "_root_status", any_root_will_do),)),
    "R16: the timeout never doubles": (Mode.LIVENESS, 0, ((Pacemaker, "gave_up", gave_up_without_doubling),)),
    "R18: work is never sent": (Mode.LIVENESS, 60, ((SimPort, "_send_work", lambda *_: None),)),
    "R21: no sync before a vote leaves": (Mode.SAFETY, 0, ((DataPlane, "_sync_then", no_sync),)),
    "R21: certificates not on disk": (Mode.LIVENESS, 560, ((DataPlane, "_certificate", certificate_without_journal),)),
    "R21: payload not on disk": (Mode.LIVENESS, 0, ((SimPort, "_journal_payload", lambda *_: None),)),
    "R21: heartbeats carry votes before their sync": (
        Mode.SAFETY,
        0,
        ((SimPort, "_open_frame", open_frame_with_unsynced_votes),),
    ),
    "R21: no sync of the journal at start": (Mode.LIVENESS, 300, ((SimPort, "start", start_without_sync),)),
    "R11: an end that is due is no work": (Mode.EPOCHS, 0, ((Work, "end_due", lambda *_: None),)),
    "R28: a boundary is no content": (Mode.EPOCHS, 28, ((Chain, "has_content", content_without_boundaries),)),
    "R28: voters take any epoch end": (Mode.EPOCHS, 0, ((DataPlane, "_ending_status", any_root_will_do),)),
    "R28: closing blocks are executed": (Mode.EPOCHS, 0, ((DataPlane, "_over", False),)),
    "R29: an epoch's first block is a closing block": (Mode.EPOCHS, 0, ((Chain, "__init__", boundary_as_it_is),)),
    "R29: effects of an older epoch are carried out": (Mode.EPOCHS, 36, ((SimPort, "submit", any_effect),)),
    "R30: followers vote": (
        Mode.EPOCHS,
        0,
        ((VoteGuard, "halt", lambda _: None), (Machine, "_emit", emit_whatever)),
    ),
    "R31: nobody is told of an end": (Mode.EPOCHS, 0, ((Peers, "_of_another_epoch", lambda *_: None),)),
    "R31: no end beside a newer finalization": (
        Mode.EPOCHS,
        0,
        ((Peers, "_take_end", end_only_above_the_newest_finalization),),
    ),
    "R31: a committee's certificates count in every epoch": (
        Mode.EPOCHS,
        0,
        ((World, "is_genuine", signed_in_any_epoch),),
    ),
    "R32: the epoch's start is not on disk": (Mode.EPOCHS, 0, ((SimPort, "start", begin_without_sync),)),
}
SEEDS_MAX = 250


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, first_seed, mutation = MUTATIONS[name]
    for owner, attribute, replacement in mutation:
        monkeypatch.setattr(owner, attribute, replacement)
    assert any(not report.ok for report in run_many(first_seed, SEEDS_MAX, mode)), f"no seed noticed: {name}"
