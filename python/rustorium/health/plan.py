"""The next step of a supervisor about a trouble, within limits that no trouble changes.

Invariants: PURE. A step never names a file: its act fixes what it touches, and no act touches `safety/` or a key. At
most `restarts_per_hour_max` starts an hour and `refills_per_day_max` refills a day, of all shards together, also over
restarts of the supervisor. No ending makes two starts follow each other at once. History is cut only if the operator
allows it, and only after everything else that can go has gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rustorium.config import RecoverySection
from rustorium.health.catalogue import ENDINGS, FINDINGS, Act, Finding, Severity, act_for

ROOT = 0
"""The number of the root shard."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PAUSE_MS = 1_000
"""Pause before the first restart; it doubles with each restart within the hour."""
PAUSE_MS_MAX = 60_000
SPACE_PAUSE_MS = 5_000
"""Time between two looks at a full disk."""
STALLED_RESTART = 10
"""Multiple of `wedged_ms` after which the node of a stalled disk is restarted: the next process may reach the disk."""
STARTS = (Act.RESTART, Act.PRUNE)
AGAIN = frozenset({"store-failed", "state-tree-failed"})
"""Endings that blame the store, if a restart doesn't help."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The subject of a step: a finding of a running node, or the code that a node ended with."""

    code: str
    evidence: str
    shard: int = ROOT
    """The shard whose trouble it is; that of the process is the root shard's."""


@dataclass(frozen=True, slots=True)
class PastAct:
    """An act of the past."""

    at_ms: int
    act: Act
    code: str


@dataclass(frozen=True, slots=True)
class Step:
    """An act and its earliest time, Unix ms."""

    act: Act
    trouble: Trouble
    not_before_ms: int
    why: str
    """A sentence: the effect of the act, or the reason that prevents it."""
    undo: str = ""
    """The way to undo the act; empty if that is impossible or unnecessary."""


SENTENCES = {
    Act.RESTART: "the node is started again; nothing is changed",
    Act.REFILL: "the store is moved to quarantine/ and the node started on an empty one, which its peers fill with "
    "what they can prove; the safety journal and the keys stay",
    Act.FREE: "stores in quarantine/ and logs of core inputs are removed, and the node is started when there is room",
    Act.PRUNE: "the node is started again and keeps only recovery.keep_when_low heights until its next start: older "
    "blocks, receipts and values go, and nothing brings them back",
    Act.WAIT: "nothing is done: the problem passes, or somebody else must act",
    Act.ASK: "nothing is done automatically: a person must decide",
}
ALONE = "this node has no peers that could fill a new store: restore the home from a backup"
UNDO = "`rustorium-node recover manual --undo` puts the store back, until the node has been healthy again for a while"


def troubles_of_shards(shards: Sequence[Mapping[str, Any]]) -> list[Trouble]:
    """Returns the troubles of other shards than the root that need an act from outside. `shards`: as in a node's
    status. The node itself starts a shard again that ended, which helps against everything but a damaged store."""
    found = []
    for one in shards:
        said = [(str(finding["code"]), str(finding["evidence"])) for finding in one.get("findings") or []]
        said = [(code, evidence) for code, evidence in said if act_for(code) in (Act.REFILL, Act.RESTART)]
        ended = one.get("ended")
        if ended is not None and act_for(str(ended["code"])) is Act.REFILL:
            said.append((str(ended["code"]), str(ended["sentence"])))
        found += [Trouble(code, evidence, int(one["shard"])) for code, evidence in said]
    return found


def manual_step(trouble: Trouble, *, alone: bool, prune: bool = False) -> Step:
    """Returns the step that a person may order now, whatever was done before. `alone`: there are no peers. `prune`:
    nothing can be removed any more, and history may be cut."""
    act = act_for(trouble.code)
    if act is Act.FREE and prune:
        act = Act.PRUNE
    if act is Act.REFILL and alone:
        return Step(Act.ASK, trouble, 0, ALONE)
    return Step(act, trouble, 0, _sentence(act, trouble), UNDO if act is Act.REFILL else "")


def _sentence(act: Act, trouble: Trouble) -> str:
    if act is Act.REFILL and trouble.shard != ROOT:
        return f"shard {trouble.shard}: {SENTENCES[act]}"
    if act in (Act.WAIT, Act.ASK) and trouble.code in FINDINGS:
        return FINDINGS[trouble.code].advice
    return SENTENCES[act]


class Planner:
    """Decides for one home. `history`: past acts, oldest first, stored by the caller. `alone`: there are no peers that
    could fill a store."""

    def __init__(self, config: RecoverySection, history: Sequence[PastAct] = (), *, alone: bool = False) -> None:
        self._config, self._alone = config, alone
        self._history = [one for one in history if one.act not in (Act.WAIT, Act.ASK)]

    def did(self, done: PastAct) -> None:
        """Records a step that was carried out."""
        self._history.append(done)
        self._history = [one for one in self._history if one.at_ms > done.at_ms - DAY_MS]

    def ended(self, trouble: Trouble, now_ms: int, *, room: bool = True) -> Step:
        """Returns the step for a node that ended with this code. `room`: its disk has the space that a start needs."""
        act = ENDINGS.get(trouble.code, Act.ASK)
        if act is Act.FREE and room:
            act = Act.RESTART
        if act is Act.FREE and self._may_prune(now_ms):
            act = Act.PRUNE
        again = trouble.code in AGAIN and self._since(now_ms, HOUR_MS, Act.RESTART, code=trouble.code)
        if act is Act.RESTART and again:
            act = Act.REFILL
        return self._step(act, trouble, now_ms)

    def running(self, findings: Sequence[Finding], now_ms: int) -> Step | None:
        """Returns the step for a running node; `None` if it should be left alone."""
        cut = any(finding.code == "history-cut" for finding in findings)
        steps = [self._running(finding, now_ms, cut=cut) for finding in findings]
        order = (Act.REFILL, Act.RESTART, Act.PRUNE, Act.FREE)
        due = [step for step in steps if step.act in order]
        return min(due, key=lambda step: order.index(step.act), default=None)

    def shards(self, troubles: Sequence[Trouble], now_ms: int) -> Step | None:
        """Returns the step for the troubles of other shards than the root; `None` if there is nothing to do now."""
        steps = [self._step(act_for(trouble.code), trouble, now_ms) for trouble in troubles]
        due = [step for step in steps if step.act in (Act.REFILL, Act.RESTART)]
        # A node whose other shards work is better than one that waits for its turn.
        due = [step for step in due if step.not_before_ms <= now_ms + PAUSE_MS_MAX]
        return min(due, key=lambda step: step.act is not Act.REFILL, default=None)

    def _running(self, finding: Finding, now_ms: int, *, cut: bool) -> Step:
        act, trouble = act_for(finding.code), Trouble(finding.code, finding.evidence)
        lasted_ms = now_ms - finding.since_ms
        if finding.code == "disk-stalled" and lasted_ms >= STALLED_RESTART * self._config.wedged_ms:
            act = Act.RESTART
        # Once in a while: the first time removes all that can be removed.
        if act is Act.FREE and (recent := self._since(now_ms, HOUR_MS, Act.FREE)):
            # If that was enough, the node's next readings say so.
            told = now_ms >= recent[-1].at_ms + self._config.lasts_ms
            if cut or not told or not self._may_prune(now_ms):
                return self._held(trouble, now_ms, "room was made a while ago")
            act = Act.PRUNE
        step = self._step(act, trouble, now_ms)
        # A running node is better than one that waits for its turn.
        return step if step.not_before_ms <= now_ms + PAUSE_MS_MAX else self._held(trouble, now_ms, step.why)

    def _held(self, trouble: Trouble, now_ms: int, why: str) -> Step:
        return Step(Act.WAIT, trouble, now_ms, why)

    def _step(self, act: Act, trouble: Trouble, now_ms: int) -> Step:
        if act is Act.REFILL and self._alone:
            return Step(Act.ASK, trouble, now_ms, ALONE)
        if act is Act.REFILL and self._config.refills_per_day_max == 0:
            return Step(Act.ASK, trouble, now_ms, "recovery.refills_per_day_max is 0: run `recover manual`")
        if act is Act.REFILL:
            return self._limited(act, trouble, now_ms, DAY_MS, self._config.refills_per_day_max)
        if act in STARTS:
            return self._limited(act, trouble, now_ms, HOUR_MS, self._config.restarts_per_hour_max)
        if act is Act.FREE:
            return Step(act, trouble, now_ms + SPACE_PAUSE_MS * bool(self._since(now_ms, HOUR_MS, act)), SENTENCES[act])
        return Step(act, trouble, now_ms, _sentence(act, trouble))

    def _limited(self, act: Act, trouble: Trouble, now_ms: int, span_ms: int, most: int) -> Step:
        done = self._since(now_ms, span_ms, *((Act.REFILL,) if act is Act.REFILL else STARTS))
        undo = UNDO if act is Act.REFILL else ""
        if len(done) >= most:
            # The time at which the oldest act that counts drops out.
            due_ms = done[-most].at_ms + span_ms
            spans = "an hour" if span_ms == HOUR_MS else "a day"
            why = f"it was done {len(done)} times within {spans}, and no more than {most} are allowed"
            return Step(act, trouble, max(now_ms, due_ms), why, undo)
        starts = self._since(now_ms, HOUR_MS, Act.REFILL, *STARTS)
        pause_ms = min(PAUSE_MS_MAX, PAUSE_MS << min(len(starts), 16)) if act is Act.RESTART else PAUSE_MS
        return Step(act, trouble, now_ms + pause_ms, _sentence(act, trouble), undo)

    def _may_prune(self, now_ms: int) -> bool:
        """Checks whether history may be cut now: once an hour, after unneeded files were removed."""
        freed, pruned = (self._since(now_ms, HOUR_MS, act) for act in (Act.FREE, Act.PRUNE))
        return self._config.keep_when_low > 0 and bool(freed) and not pruned

    def _since(self, now_ms: int, span_ms: int, *acts: Act, code: str = "") -> list[PastAct]:
        def counts(one: PastAct) -> bool:
            return one.act in acts and one.at_ms > now_ms - span_ms and code in ("", one.code)

        return [one for one in self._history if counts(one)]


def is_well(findings: Sequence[Finding]) -> bool:
    """Checks that nothing keeps the node from its work."""
    return all(finding.kind.severity is not Severity.NOT_READY for finding in findings)
