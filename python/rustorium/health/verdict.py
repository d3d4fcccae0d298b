"""The verdict on a net and its nodes by their own reports: well or not, why, and what to do.

Invariants: PURE; a node's report is trusted only as far as it makes a sentence about that node; each trouble appears
once, with its node or with the net.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from rustorium.health.catalogue import FINDINGS, NOT_HEARD
from rustorium.types import Evidence, NodeStatus

IF_UNSERVED = f"wait a moment and check again; if it stays so, {FINDINGS['not-served'].advice}"
FAR_MS = 1 << 62
"""Later than any time that a node names."""


class Level(IntEnum):
    """The state of a node or net; also the exit code of `status check`."""

    WELL = 0
    """Nothing has to be done. A problem of this level is only told."""
    NOT_WELL = 1
    """The node or net works, and a person should look at it."""
    NOT_READY = 5
    """The node or net doesn't work, or can't be reached."""

    @property
    def words(self) -> str:
        return {Level.WELL: "well", Level.NOT_WELL: "not well", Level.NOT_READY: "not ready"}[self]


@dataclass(frozen=True, slots=True)
class Problem:
    """A deviation from the normal state."""

    code: str
    level: Level
    evidence: str
    advice: str

    def as_json(self) -> dict[str, str]:
        return {
            "code": self.code, "level": self.level.words, "evidence": self.evidence, "advice": self.advice,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a node, or on the net."""

    subject: str
    summary: str
    problems: tuple[Problem, ...]

    @property
    def level(self) -> Level:
        return max((problem.level for problem in self.problems), default=Level.WELL)

    def as_json(self) -> dict[str, object]:
        return {"verdict": self.level.words, "problems": [problem.as_json() for problem in self.problems]}


def worst(verdicts: Iterable[Verdict]) -> Level:
    """Returns the worst level of all verdicts."""
    return max((verdict.level for verdict in verdicts), default=Level.WELL)


def quorum(n: int) -> int:
    """Returns the number of validators, of n, that decide."""
    return n - max(0, (n - 1) // 3)


def of_node(status: NodeStatus, advice: str = "") -> Verdict:
    """Judges a node by its own report. `advice`: what to do if it doesn't answer."""
    if not status.chain:
        do = (
            advice
            or "check that the node runs, that this is the URL of its HTTP API, and that the network between is up"
        )
        return Verdict(status.node, "", (Problem("no-answer", Level.NOT_READY, status.reason, do),))
    found = [
        Problem(one.code, Level.NOT_READY if one.severity == "not-ready" else Level.NOT_WELL, one.evidence, one.advice)
        for one in status.findings
    ]
    codes = {one.code for one in status.findings}
    if not status.ready and not any(one.level is Level.NOT_READY for one in found):
        found.insert(0, _not_ready(status))
    if status.retired and "key-retired" not in codes:
        found.append(Problem("key-retired", Level.NOT_WELL, status.retired, FINDINGS["key-retired"].advice))
    if status.unreachable and "peers-lost" not in codes and not _unserved(status):
        said = f"the node has no link to {', '.join(status.unreachable)}"
        found.append(Problem("peers-unreachable", Level.NOT_WELL, said, FINDINGS["peers-lost"].advice))
    if status.filling is not None and (banned := status.filling.get("banned")):
        liars = ", ".join(map(str, banned)) if isinstance(banned, list) else banned
        said = f"its store was filled with false data by {liars}"
        do = "the node ignores those peers now: check them, and report the output of `audit show --event 'peer banned'`"
        found.append(Problem("peers-banned", Level.NOT_WELL, said, do))
    summary = f"{status.role or 'node'}, height {status.executed:,}, view {status.view:,}, {status.peers_up} links up"
    silent = _silent(status)
    return Verdict(status.node, f"{summary}, {silent} of them silent" if silent else summary, tuple(found))


def _silent(status: NodeStatus) -> int:
    """Returns the number of linked validators from which the node hears nothing."""
    return sum(one.evidence.count(f" {NOT_HEARD} ") for one in status.findings if one.code == "peers-suspected")


def _unserved(status: NodeStatus) -> bool:
    """Checks that a node that follows is linked with no validator."""
    return status.role == "follower" and not status.peers_up


def _not_ready(status: NodeStatus) -> Problem:
    filling = status.filling
    if filling is not None:
        share = filling.get("percent")
        said = f"its store is being filled{f', {share} %' if share is not None else ''}: {status.reason}"
        do = "wait: the node is ready when it has everything that the others have"
        # A member may fill its store, too, before it knows its role.
        if filling.get("peers") == 0:
            do = IF_UNSERVED
        return Problem("filling", Level.NOT_READY, said, do)
    do = "wait a moment and check again; if it stays so, read its log (`logs aggregate HOME --level warn`)"
    if _unserved(status):
        do = IF_UNSERVED
    return Problem("not-ready", Level.NOT_READY, status.reason or "the node doesn't say why", do)


def of_shards(statuses: Sequence[NodeStatus], *, all_asked: bool) -> list[Verdict]:
    """Judges each shard besides shard 0 by the reports about it. A node that doesn't answer counts in each."""
    numbers = sorted({one.shard for status in statuses for one in status.shards})
    verdicts = []
    for number in numbers:
        reports = [one for status in statuses for one in _of_shard(status, number)]
        found = of_net(reports, all_asked=all_asked)
        verdicts.append(replace(found, subject=f"shard {number}"))
    return verdicts


def _of_shard(status: NodeStatus, number: int) -> Iterator[NodeStatus]:
    if not status.chain:
        yield status
    # Seats govern in shard 0, where what waits for them is told.
    yield from (replace(one, governance=None) for one in status.shards if one.shard == number)


def of_net(statuses: Sequence[NodeStatus], *, all_asked: bool, places: Sequence[str] = ()) -> Verdict:
    """Judges the net by these nodes' reports. `all_asked`: they are the whole net, so a node that doesn't answer is
    missing. `places`: the URL or home at which each was asked."""
    heard = [status for status in statuses if status.chain]
    if not heard:
        which = (
            f"none of {len(statuses)} nodes answers" if len(statuses) > 1 else "no node answered that knows this net"
        )
        do = "start the nodes, or check the network between this machine and them"
        return Verdict("network", "", (Problem("unreachable", Level.NOT_READY, which, do),))
    if len({status.chain for status in heard}) > 1:
        return Verdict("network", "", (_chains(statuses, places),))
    found = [*_quorum(statuses, all_asked=all_asked), *_versions(heard), *_roots(heard), *_liars(heard)]
    found += _governance(heard)
    if all(one.code not in ("no-quorum", "protocol-older") or one.level is Level.NOT_WELL for one in found):
        found[:0] = _stands(heard)
    newest = max(heard, key=lambda status: status.executed)
    # Members know best how many they are.
    counts = max(heard, key=lambda status: (status.role == "validator", status.executed))
    n, connected = _committee(counts)
    retired = sum(status.retired != "" for status in heard if status.role == "validator")
    away = f" ({retired} of them retired)" if retired else ""
    heard_now = connected - _silent(counts)
    seen = f", {heard_now} of {n} validators connected{away}, a quorum is {quorum(n)}" if n else ""
    return Verdict("network", f"height {newest.executed:,}, epoch {newest.epoch:,}{seen}", tuple(found))


def _chains(statuses: Sequence[NodeStatus], places: Sequence[str]) -> Problem:
    """Names the nodes of each chain, the chain with most nodes first."""
    of_chain: dict[str, list[str]] = {}
    for number, status in enumerate(statuses):
        if status.chain:
            place = f" at {places[number]}" if number < len(places) else ""
            of_chain.setdefault(status.chain, []).append(status.node + place)
    chains = sorted(of_chain.items(), key=lambda one: -len(one[1]))
    said = "; ".join(f"{', '.join(nodes)} of chain {chain[:12]}…" for chain, nodes in chains)
    do = (
        "ask the nodes of one net (--node, --net); if they should be of one, compare their genesis files (`genesis "
        "show`), and have the operator of a node with a wrong one make a home with the right one"
    )
    return Problem("other-chain", Level.NOT_READY, f"these nodes belong to {len(chains)} different chains: {said}", do)


def _versions(heard: Sequence[NodeStatus]) -> Iterable[Problem]:
    """Checks that the members run releases that know the epoch's protocol version, by their links with a validator that
    runs it."""
    running = [status for status in heard if status.protocol > 1 and status.role == "validator"]
    if not running:
        return
    first = max(running, key=lambda status: (status.epoch, _committee(status)[1]))
    (n, _), older = _committee(first), sorted(first.older)
    if not older:
        return
    have = n - len(older)
    halted = have < quorum(n)
    need = f", {quorum(n)} are needed" if halted else ""
    said = f"epoch {first.epoch} is version {first.protocol}: {have} of {n} members run it{need}"
    level = Level.NOT_READY if halted else Level.NOT_WELL
    yield Problem("protocol-older", level, said, f"install it on {', '.join(older)}")


def _governance(heard: Sequence[NodeStatus]) -> Iterable[Problem]:
    """Tells what waits for operators' seats and what they paused, by the newest node that knows. A vote, and a quorum
    that the operators chose, are no troubles: they are told, and the net stays well."""
    knowing = [status for status in heard if status.governance is not None]
    note = max(knowing, key=lambda status: status.executed).governance if knowing else None
    if note is None:
        return
    quorum, seats = int(note["quorum"]), int(note["seats"])
    for one in note["proposals"]:
        given = len(one["approvals"])
        seated = ", ".join(map(str, one["not_approved"]))
        number = one["number"]
        said = f"proposal {number} ({one['change']}) "
        if one["made"]:
            said += f"is made and waits for its time; if seats {seated} approve it too, it waits no longer"
        else:
            said += f"has {given} of {quorum} approvals, not those of seats {seated}, and is open until "
            said += _utc(one["until_ms"])
        show, approve = f"govern show {number}", f"govern approve {number} --key KEY_FILE"
        do = f"`rustorium-node {show}` shows it; a seat approves by `{approve}`"
        yield Problem("governance-open", Level.WELL, said, do)
    if (found := note.get("replacement")) is not None:
        count = len(found["operators"])
        who = "another operator governs" if count == 1 else f"{count} other operators govern"
        said = f"validators' owners decided that {who} from {_utc(found['from_ms'])} on"
        do = (
            "if the operators' keys aren't lost, decide for the present ones before then: `rustorium-node govern "
            "propose operators`; `govern list` shows who comes"
        )
        yield Problem("operators-replaced", Level.NOT_WELL, said, do)
    if (wanted := note.get("upgrade")) is not None:
        yield _upgrade(wanted)
    for one in note["pauses"]:
        whose = f"the account {one['account']} is" if one.get("account") else "all accounts are"
        which = f" {one['account']}" if one.get("account") else ""
        said = f"{whose} paused until {_utc(one['until_ms'])}"
        do = f"wait, or have the operators end it: `rustorium-node govern propose resume{which} --key KEY_FILE`"
        yield Problem("paused", Level.NOT_WELL, said, do)
    if seats and quorum >= seats:
        which = "the only operator's seat" if seats == 1 else f"one of the {seats} operators' seats"
        need = f"a change needs {quorum} of {seats} seats"
        said = f"if {which} loses its keys, nobody can change this chain any more: {need}"
        do = (
            "give the seat several keys with a threshold (`rustorium-node govern rotate`), or add operators so that a "
            "quorum needs less than all (`rustorium-node govern propose operators`)"
        )
        yield Problem("operators-thin", Level.WELL, said, do)


def _upgrade(wanted: Mapping[str, Any]) -> Problem:
    """Tells how far the members are with a protocol version that operators want."""
    version, needed = int(wanted["version"]), int(wanted["needed"])
    speaking, silent = list(wanted["speaking"]), list(wanted["silent"])
    said = (
        f"operators want protocol version {version}: {len(speaking)} of {len(speaking) + len(silent)} members speak it "
        f"in this epoch, and {needed} must"
    )
    if len(speaking) >= needed:
        said += f"; the first epoch's end at or after {_utc(wanted['not_before_ms'])} takes it"
        lacking = f"update {', '.join(silent)} before then: a node that doesn't speak it stops there"
        level = Level.NOT_WELL if silent else Level.WELL
        return Problem("upgrade-wanted", level, said, lacking if silent else "nothing is left to do")
    do = (
        f"install a release that speaks it on {', '.join(silent)}; a node that has it says so in its next block with "
        "transactions; the chain waits, or the seats recall it: "
        f"`rustorium-node govern propose upgrade {version - 1}`"
    )
    return Problem("upgrade-waits", Level.WELL, said, do)


def _committee(status: NodeStatus) -> tuple[int, int]:
    """Returns the number of validators, and how many of them this node is or is linked with; 0 if it can't tell: the
    committee may have this node with its former validator key."""
    own = int(status.role == "validator")
    if not own and any(one.code == "not-in-committee" for one in status.findings):
        return 0, 0
    peers = status.raw.get("peers")
    return (peers + own, status.peers_up + own) if isinstance(peers, int) else (0, 0)


def _quorum(statuses: Sequence[NodeStatus], *, all_asked: bool) -> Iterable[Problem]:
    """Checks for a quorum, and for all members: by the nodes that answer ready if all were asked, otherwise by the best
    connected validator that was asked. A retired member is linked and signs nothing. A follower is linked with some
    validators only, and that is enough for it."""
    validators = [status for status in statuses if status.chain and status.role == "validator"]
    if not validators:
        return
    best = max(validators, key=lambda status: (not status.retired, _committee(status)[1]))
    n, connected = _committee(best)
    ready = sum(status.ready and not status.retired for status in validators)
    retired = [status.node for status in validators if status.retired and status.node not in best.unreachable]
    counted = all_asked and len(statuses) >= n
    have, how = (ready, "ready") if counted else (connected - len(retired), f"connected with {best.node}")
    where = "" if counted else " as far as it sees"
    if n and have < quorum(n):
        missing = ", ".join(best.unreachable)
        said = f"{have} of the {quorum(n)} validators that a quorum needs are {how}: nothing becomes final{where}"
        do = f"start or reach {missing}" if missing else "see the nodes below"
        yield Problem("no-quorum", Level.NOT_READY, said, do)
    elif n and have == quorum(n) < n:
        said = f"{have} of {n} validators are {how}: if one more fails, nothing becomes final{where}"
        yield Problem("no-spare", Level.NOT_WELL, said, "bring back the missing validators")
    # If all members are ready, a node that doesn't answer is none of them.
    elif n and (away := _away(statuses, retired, counted=counted, silent=have < n)):
        said = f"{have} of {n} validators are {how} and sign: {', '.join(away)}"
        do = "bring back those that are away, and give a retired one a new key with `rustorium-node node replace-key`"
        yield Problem("members-missing", Level.NOT_WELL, said, do)


def _stands(heard: Sequence[NodeStatus]) -> Iterable[Problem]:
    """Checks that the net executes what waits: by the voters that wait, unless a node that was asked is ahead of
    them."""
    newest = max(status.executed for status in heard)
    waits = [
        status
        for status in heard
        if status.role == "validator" and any(one.code == "chain-stands" for one in status.findings)
    ]
    if not waits or min(status.executed for status in waits) < newest:
        return
    by = ", ".join(status.node for status in waits)
    said = f"{by} can't make what waits final after height {newest:,}, and no node that was asked is further"
    yield Problem("no-progress", Level.NOT_READY, said, FINDINGS["chain-stands"].advice)


def _away(statuses: Sequence[NodeStatus], retired: Sequence[str], *, counted: bool, silent: bool) -> list[str]:
    """Returns a clause about each member that doesn't take part. `counted`: these are the reports of all of them.
    `silent`: nodes that don't answer may be members.
    """
    found = [f"{node} is retired" for node in retired]
    cut_off: dict[str, list[str]] = {}
    for status in statuses:
        for node in status.unreachable if status.role == "validator" else ():
            cut_off.setdefault(node, []).append(status.node)
    found += [f"{', '.join(by)} can't reach {node}" for node, by in cut_off.items()]
    for status in statuses if counted else ():
        if status.chain and status.role == "validator" and not status.ready and status.node not in retired:
            found.append(f"{status.node} isn't ready")
        elif not status.chain and silent:
            found.append(f"{status.node} doesn't answer")
    return found


def _roots(heard: Sequence[NodeStatus]) -> Iterable[Problem]:
    """Checks that one height has one result on all nodes."""
    seen: dict[int, tuple[str, str]] = {}
    for status in heard:
        claimed = status.raw.get("claimed")
        root = claimed.get("root") if isinstance(claimed, Mapping) else None
        if not isinstance(root, str) or not status.claimed:
            continue
        other, known = seen.setdefault(status.claimed, (status.node, root))
        if known != root:
            said = f"{status.node} and {other} have different results at height {status.claimed}"
            do = "stop relying on either, and report it with both homes' `debug bundle`: this must never happen"
            yield Problem("forked", Level.NOT_READY, said, do)


def _utc(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):
        return f"{at_ms} ms"


def _liars(heard: Sequence[NodeStatus]) -> Iterable[Problem]:
    seen: dict[tuple[str, str], Evidence] = {}
    witnesses: dict[tuple[str, str], list[str]] = {}
    for status in heard:
        # A member that has left the committee was already dealt with.
        for one in (one for one in status.evidence if one.member):
            key = (one.validator_key or one.name, one.kind)
            known = seen.setdefault(key, one)
            seen[key] = min(known, one, key=lambda each: each.first_ms or FAR_MS)
            witnesses.setdefault(key, []).append(status.node)
    for key, one in seen.items():
        when = f", first at {_utc(one.first_ms)}" if one.first_ms else ""
        by = ", ".join(witnesses[key])
        said = f"{one.name} signed {one.kind} in {one.first} ({one.count} in all{when}), as {by} saw"
        remove = f"`rustorium-node node remove {one.validator_key or one.name} --key OPERATOR.key`"
        rekey = "`rustorium-node node replace-key` on its home"
        do = f"if its key is used twice, its owner stops both and runs {rekey}; if it lies, operators run {remove}"
        yield Problem("evidence", Level.NOT_WELL, said, do)
