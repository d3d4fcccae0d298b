"""Turns a running node's measurements of itself into findings.

Invariants: PURE. No finding comes from one reading if a pause could explain it: each trouble has a time that it must
last, which grows with the watcher's own lateness. A finding keeps the time at which it began.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rustorium.config import RecoverySection
from rustorium.health.catalogue import NOT_HEARD, Finding
from rustorium.health.liveness import NS_PER_MS, Accrual, LocalHealth

DISK_STAGES = frozenset({"journal", "keep"})
"""Stages whose work is syncing: if one of them hangs, the disk hangs."""
SLOW_SYNCS_MIN = 8
"""Minimum number of syncs to judge a disk by."""
SUSPICION_PHI = 8
"""Suspicion threshold: one wrong suspicion in 10^8 looks, if arrivals were normally distributed."""
CLOCK_LASTS_MS = 5_000
"""Minimum time for which the chain's time must be ahead of the clock: after a correction of the clock, blocks from
before it still arrive."""
SIGNER_LASTS_MS = 1_000
"""Minimum time for which a signer must be away: a restarted signer is back within a moment."""
JOURNAL_BYTES_MAX = 64 << 20
"""Size above which a journal is large: a validator needs only a few views' worth of it."""
JOURNAL_AGE_MS_MAX = 600_000
"""Age above which a needed record is a problem, while heights move: no record should be needed for so long."""


@dataclass(frozen=True, slots=True)
class PeerVitals:
    """Measurements of a peer of the committee."""

    name: str
    up: bool
    """`True` if its link is up."""
    heard_ns: Sequence[int] = ()
    """Times at which its core was heard since the last reading, by the node's clock."""
    passed_over: bool = False
    """`True` if its views are given up at once, because it lost its last turns."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """One reading of a node."""

    now_ns: int
    """The node's clock, which never goes back."""
    wall_ms: int
    busy_ms: Mapping[str, int]
    """Per stage, the time for which it has had work without asking for more."""
    syncs: int = 0
    sync_us: int = 0
    """Journal syncs since the start, and their total time."""
    journal_bytes: int = 0
    """Bytes from the oldest record that is still needed to the end of the journal."""
    journal_oldest_ns: int = 0
    """Time at which that record was appended, by the node's clock; 0 if no record is needed."""
    free_bytes: int | None = None
    """Free space on the home's disk."""
    keep_few: int | None = None
    """Number of heights kept until the next start; `None`: as many as configured."""
    damaged: str = ""
    diverged: int | None = None
    unserved: int | None = None
    """The next height, if no peer holds it any more."""
    retired: str = ""
    cut_off: Sequence[str] = ()
    """Members that aren't listened to, each with the reason."""
    other_chain: str = ""
    """The validators whose nodes say that they are of another chain; empty if there are none."""
    many_liars: bool = False
    """`True` if more members than f sent false signatures recently."""
    synced: bool = True
    executed: int = 0
    waiting: int = 0
    """Number of transactions in the pool that lack neither a nonce before them nor quota."""
    no_member: str = ""
    """The reason why a validator has no vote in this epoch, although its key isn't retired; empty if it has one."""
    chain_ahead_ms: int = 0
    """Milliseconds by which the newest certified block's time is ahead of the clock, if a voter would not accept
    that."""
    block_ahead: str = ""
    """The block that recently waited for the clock alone; empty if there was none."""
    left_out: str = ""
    """The homes that are passed over because they left out what they were sent; empty if there are none."""
    lane_junk: str = ""
    """The lanes of which more than a hundredth was skipped; empty if there are none."""
    signer_away: str = ""
    """The reason why the signer process signs nothing; empty if it signs, or if there is no signer."""
    signer_refused: str = ""
    """The signer's refusals within the last minute."""
    quorum_lost: str = ""
    """The reason why too few validators are connected with a voter; empty if enough are."""
    not_served: str = ""
    """The reason why a node without a vote learns nothing: no validator is connected; empty if one is."""
    shard_trouble: str = ""
    """The trouble of other shards that the node hosts; empty if there is none."""
    certificate_ends: str = ""
    """A problem with the validity of the gateway's certificate."""
    tls_trouble: str = ""
    """The reason why the gateway's PEM files aren't in use as they are now."""
    peers: Sequence[PeerVitals] = field(default_factory=tuple)


class Detector:
    """Watches one node. Call `observe` once a period."""

    def __init__(self, config: RecoverySection, heartbeat_ms: int) -> None:
        self._config = config
        self._heartbeat_ns = heartbeat_ms * NS_PER_MS
        self._health = LocalHealth(config.watch_ms * NS_PER_MS // 2)
        self._accruals: dict[str, Accrual] = {}
        self._first_ns: dict[str, int] = {}
        self._found: dict[str, Finding] = {}
        self._syncs: tuple[int, int] = (0, 0)
        self._slow = ""
        self._moved: tuple[int, int] = (0, 0)
        self._stood_at = 0
        self._judged_ns = 0
        self._hung = False

    @property
    def stretch(self) -> int:
        """Factor by which everything may take longer now than on an idle machine."""
        return self._health.stretch

    def observe(self, vitals: Vitals, lag_ns: int) -> list[Finding]:
        """Returns what is wrong now. `lag_ns`: the delay of the watcher's wake-up."""
        self._health.woke(lag_ns)
        self._take_arrivals(vitals, lag_ns)
        now = dict(self._signs(vitals))
        for code in [code for code in self._first_ns if code not in now]:
            del self._first_ns[code]
        found = {}
        for code, (evidence, lasts_ms) in now.items():
            first = self._first_ns.setdefault(code, vitals.now_ns)
            if vitals.now_ns - first >= lasts_ms * self.stretch * NS_PER_MS:
                known = self._found.get(code)
                since_ms = known.since_ms if known is not None else vitals.wall_ms
                found[code] = Finding(code, evidence, since_ms)
        self._found = found
        return list(found.values())

    def suspicion(self, now_ns: int) -> dict[str, float]:
        """Returns each peer's phi."""
        return {name: round(one.phi(now_ns, self.stretch), 3) for name, one in self._accruals.items()}

    def _take_arrivals(self, vitals: Vitals, lag_ns: int) -> None:
        known = self._accruals
        # The committee changes with the epoch.
        self._accruals = {peer.name: known.get(peer.name) or Accrual(self._heartbeat_ns) for peer in vitals.peers}
        for peer in vitals.peers:
            for at_ns in peer.heard_ns:
                self._accruals[peer.name].heard(at_ns)
            # Last: these arrivals may be from before the watcher was away; then the silence is the watcher's.
            self._accruals[peer.name].lagged(lag_ns)

    def _signs(self, vitals: Vitals) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yields codes, each with evidence and the minimum duration in ms."""
        config = self._config
        yield from self._stage_signs(vitals)
        if slow := self._slow_disk(vitals):
            yield "disk-slow", (slow, 0)
        if large := self._large_journal(vitals):
            yield "journal-large", (large, config.lasts_ms)
        if vitals.free_bytes is not None and vitals.free_bytes < config.disk_free_bytes_min:
            yield "disk-low", (f"{vitals.free_bytes >> 20} MiB are free on the home's disk", 0)
        if vitals.keep_few is not None:
            said = f"the node keeps only {vitals.keep_few} heights until its next start, because its disk was low"
            yield "history-cut", (said, 0)
        if vitals.damaged:
            yield "store-corrupt", (vitals.damaged, 0)
        if vitals.diverged is not None:
            yield "diverged", (f"a quorum has another result than this node from height {vitals.diverged} on", 0)
        if vitals.unserved is not None:
            yield "behind-pruned", (f"no connected validator holds height {vitals.unserved} any more", config.lasts_ms)
        yield from self._chain_signs(vitals)
        yield from self._member_signs(vitals)
        yield from self._tls_signs(vitals)
        yield from self._key_signs(vitals)
        if suspected := self._suspected(vitals):
            yield "peers-suspected", (suspected, 0)

    def _chain_signs(self, vitals: Vitals) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yields the one reason why this node executes nothing more: links, its own delay, or a chain that stands."""
        moved, self._stood_at = vitals.executed != self._stood_at, vitals.executed
        one = vitals.waiting == 1
        wait = f"{vitals.waiting} {'transaction waits' if one else 'transactions wait'}" if vitals.waiting else ""
        if vitals.quorum_lost:
            said = f"{vitals.quorum_lost}; {wait}" if wait else vitals.quorum_lost
            yield "peers-lost", (said, self._config.lasts_ms)
        elif vitals.not_served:
            yield "not-served", (vitals.not_served, self._config.lasts_ms)
        elif not vitals.synced:
            said = f"the node is behind: it has executed height {vitals.executed}"
            yield "catching-up", (said, self._config.lasts_ms)
        elif wait and not moved and not self._late(vitals):
            said = f"{wait}, and no block has become final after height {vitals.executed}"
            yield "chain-stands", (said, self._config.lasts_ms)

    def _tls_signs(self, vitals: Vitals) -> Iterator[tuple[str, tuple[str, int]]]:
        if vitals.certificate_ends:
            yield "certificate-ends", (vitals.certificate_ends, 0)
        if vitals.tls_trouble:
            # Certificate and key are not written at the same moment.
            yield "tls-files-unusable", (vitals.tls_trouble, self._config.lasts_ms)

    def _key_signs(self, vitals: Vitals) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yields signs of the validator key, and of the process that has it."""
        if vitals.retired:
            yield "key-retired", (vitals.retired, 0)
        elif vitals.no_member:
            # A node that is behind may still execute an epoch from before its key was in the committee.
            yield "not-in-committee", (vitals.no_member, 0 if vitals.synced else self._config.lasts_ms)
        if vitals.signer_away:
            yield "signer-unreachable", (vitals.signer_away, SIGNER_LASTS_MS)
        if vitals.signer_refused:
            yield "signer-refuses", (vitals.signer_refused, 0)

    def _member_signs(self, vitals: Vitals) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yields signs of clocks, and of members that leave out, sign falsely or don't lead."""
        if vitals.chain_ahead_ms:
            said = f"the newest certified block is {vitals.chain_ahead_ms / 1000:.1f} s ahead of this node's clock"
            yield "chain-ahead-of-clock", (said, CLOCK_LASTS_MS)
        if vitals.block_ahead:
            yield "block-ahead-of-clock", (vitals.block_ahead, 0)
        if vitals.left_out:
            yield "home-leaves-out", (vitals.left_out, 0)
        if vitals.lane_junk:
            yield "lane-junk", (vitals.lane_junk, 0)
        if vitals.shard_trouble:
            yield "shard-trouble", (vitals.shard_trouble, 0)
        if vitals.other_chain:
            yield "peer-other-chain", (vitals.other_chain, 0)
        if vitals.cut_off:
            yield "peer-cut-off", ("; ".join(vitals.cut_off), 0)
        if vitals.many_liars:
            yield "many-liars", ("more members than f sent false signatures within ten minutes", 0)
        if mute := [peer.name for peer in vitals.peers if peer.up and peer.passed_over]:
            said = f"connected, but proposed no block in time in their last turns: {', '.join(mute)}"
            yield "leaders-mute", (said, self._config.lasts_ms)

    def _stage_signs(self, vitals: Vitals) -> Iterator[tuple[str, tuple[str, int]]]:
        late = self._late(vitals)
        disk = sorted(DISK_STAGES & late.keys())
        if disk:
            said = ", ".join(f"{name} for {late[name] // 1000} s" for name in disk)
            yield "disk-stalled", (f"a write or sync has not finished: {said}", 0)
        others = sorted(late.keys() - DISK_STAGES)
        # A stage that waits for the disk is not wedged.
        if others and not disk:
            said = ", ".join(f"{name} for {late[name] // 1000} s" for name in others)
            yield "wedged", (f"busy with one piece of work: {said}", 0)

    def _late(self, vitals: Vitals) -> dict[str, int]:
        """Returns the stages that have been at one piece of work for too long, ms."""
        limit_ms = self._config.wedged_ms * self.stretch
        return {name: busy for name, busy in vitals.busy_ms.items() if busy >= limit_ms}

    def _slow_disk(self, vitals: Vitals) -> str:
        """Judges the disk whenever enough syncs were made. A finding lapses if there are none, as on an idle chain."""
        hung, self._hung = self._hung, bool(DISK_STAGES & self._late(vitals).keys())
        if hung or self._hung:
            # The one sync that hung would outweigh hundreds; it has its own finding.
            self._syncs = (vitals.syncs, vitals.sync_us)
        syncs, took_us = vitals.syncs - self._syncs[0], vitals.sync_us - self._syncs[1]
        if syncs < SLOW_SYNCS_MIN:
            if vitals.now_ns - self._judged_ns >= self._config.lasts_ms * self.stretch * NS_PER_MS:
                self._slow = ""
            return self._slow
        self._syncs, self._judged_ns = (vitals.syncs, vitals.sync_us), vitals.now_ns
        mean_ms = took_us / syncs / 1000
        slow = mean_ms > self._config.disk_slow_ms * self.stretch
        self._slow = f"a sync of the journal takes {mean_ms:.0f} ms" if slow else ""
        return self._slow

    def _large_journal(self, vitals: Vitals) -> str:
        """Finds too many bytes, or an old record while heights move: without a final block all of it may be needed."""
        height, since_ns = self._moved
        if vitals.executed != height:
            self._moved = height, since_ns = vitals.executed, vitals.now_ns
        if vitals.journal_bytes > JOURNAL_BYTES_MAX:
            return f"the safety journal holds {vitals.journal_bytes >> 20} MiB"
        age_ms = (vitals.now_ns - vitals.journal_oldest_ns) // NS_PER_MS if vitals.journal_oldest_ns else 0
        moves = vitals.now_ns - since_ns <= self._config.lasts_ms * NS_PER_MS
        if moves and age_ms > JOURNAL_AGE_MS_MAX:
            return f"the safety journal still needs a record that is {age_ms // 60_000} minutes old"
        return ""

    def _suspected(self, vitals: Vitals) -> str:
        """Lists silent peers among the connected ones; links report the others."""
        named = []
        for peer in vitals.peers:
            one = self._accruals[peer.name]
            if peer.up and one.phi(vitals.now_ns, self.stretch) > SUSPICION_PHI:
                named.append(f"{peer.name} {NOT_HEARD} {one.silent_ms(vitals.now_ns)} ms")
        return ", ".join(named)
