"""The causes of what is wrong or slow in a net, from its nodes' measurements: the disk, link or node, the evidence, and
what to try.

Invariants: PURE reasoning over gathered data. A thing is slow compared to others of its kind and by an amount that
matters, never by the ratio alone. Each trouble is named once, at its root: a far node, not its links.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rustorium.health.catalogue import FINDINGS
from rustorium.observe.analysis.gather import Net, Node
from rustorium.observe.analysis.leaders import Leader, leaders_of
from rustorium.observe.analysis.links import Link
from rustorium.observe.analysis.names import STAGES, STEP_CPU, STEP_WALL, SYNC

RATIO = 3.0
"""Factor over the median of the others from which something is slow."""
DISK_MS_MIN, DISK_MS_ALWAYS = 5.0, 20.0
"""A sync below the first value is never slow; above the second it always is, whatever the others do."""
LINK_MS_MIN = 10.0
LINK_BEYOND_USUAL = 1.5
LOST_PERCENT_MIN = 1.0
QUEUED_BYTES_MIN = 256 * 1024
UP_PERCENT_MIN = 99.0
OWN_MS_MIN = {"submit": 5.0, "execute": 5.0, "persist": 10.0, "notify": 5.0}
"""A node's own stage below this value is never slow."""
WAIT_MS_MIN = 2.0
"""Minimum time that a step of the core waits for a processor."""
LATE_MS_MIN = 10.0
"""Proposals are late only if they come more than this after the time that the network explains."""
FEW_SHARE = 0.5
"""A leader with less than this share of the others' proposals loses its views."""
FULL_SHARE = 0.7
FAILED_VIEWS_MIN = 0.01
COUNT_MIN = 8
"""Minimum number of measurements to judge by."""
SHOWN_BY_OTHERS = frozenset({"disk-slow", "peers-lost", "not-served", "catching-up"})
"""Findings of a node that another cause here shows with figures, or that are a consequence."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that costs time."""

    code: str
    subject: str
    """A node, or a link as `a – b`."""
    weight: float
    """Approximate cost in ms wherever it occurs; the list is sorted by it."""
    evidence: str
    advice: str


def find(net: Net, links: Sequence[Link]) -> list[Cause]:
    """Returns all causes, the heaviest first."""
    found = [*_away(net), *_disks(net), *_links(net, links), *_own(net), *_starved(net), *_refused(net)]
    slow_disks = {cause.subject for cause in found if cause.code == "disk-slow"}
    # A slow disk already explains that its thread is busy.
    found += [cause for cause in _full(net) if cause.code != "journal-full" or cause.subject not in slow_disks]
    leaders = leaders_of(net, links)
    found += _late(leaders, {cause.subject for cause in found if cause.code in EXPLAINS_LATE})
    found += [*_views(net, leaders), *_findings(net)]
    return sorted(found, key=lambda cause: -cause.weight)


EXPLAINS_LATE = frozenset(
    {
        "disk-slow",
        "disk-slow-store",
        "node-slow",
        "node-far",
        "node-away",
        "node-restarted",
        "cpu-short",
        "journal-full",
    }
)
"""Causes that explain late proposals of a node."""


def faults(n: int) -> int:
    """Returns the number of validators, of n, that may fail."""
    return max(0, (n - 1) // 3)


def _others(values: dict[str, float], name: str) -> float:
    """Returns the median of all but one; 0 if there are no others."""
    rest = [value for key, value in values.items() if key != name]
    return median(rest) if rest else 0.0


def _away(net: Net) -> Iterator[Cause]:
    for node in net.nodes:
        if node.looks < 2:
            said = node.error or "it answered only once"
            yield Cause(
                "node-silent",
                node.name,
                1e9,
                f"its metrics can't be read: {said}",
                "start it, or find out why it can't be reached; this report doesn't cover it",
            )
        elif node.silent:
            yield Cause(
                "node-away",
                node.name,
                5e8,
                f"{node.silent} of {node.silent + node.looks} samples had no answer: {node.error}",
                "check its log and its machine at that time (`logs aggregate HOME`)",
            )
        if node.restarts:
            yield Cause(
                "node-restarted",
                node.name,
                4e8,
                f"it restarted {node.restarts} time(s) during the measurement",
                "`audit show` and `recover manual --dry-run` on its home say why",
            )


def _disks(net: Net) -> Iterator[Cause]:
    means = {node.name: spread.mean_ms for node in net.heard if (spread := node.spread(SYNC)).count >= COUNT_MIN}
    syncs = {name: mean for name, mean in means.items() if mean is not None}
    slow = {
        name: mean
        for name, mean in syncs.items()
        if mean >= DISK_MS_ALWAYS or mean >= max(DISK_MS_MIN, RATIO * _others(syncs, name))
    }
    spared = faults(len(net.nodes)) >= len(slow)
    for name, mean in slow.items():
        p99 = next(node for node in net.nodes if node.name == name).spread(SYNC).quantile_ms(0.99)
        others = _others(syncs, name)
        effect = (
            "a quorum forms without its votes, but the views that it leads wait for them"
            if spared
            else "a quorum needs its votes, and each waits for a sync"
        )
        yield Cause(
            "disk-slow",
            name,
            2 * (mean - min(others, mean / 2)),
            f"a sync takes {mean:.1f} ms (p99 {p99 or 0:.0f} ms), on the other nodes {others:.1f} ms; {effect}",
            "remove other load from this disk, or give safety/ and db/ a faster one (`doctor --home` measures it)",
        )


def _links(net: Net, links: Sequence[Link]) -> Iterator[Cause]:
    yield from _links_down(net, links)
    measured = {link.name: link.rtt_ms for link in links if link.rtt_ms is not None}
    slow = [link for link in links if link.rtt_ms is not None and _is_slow(link, link.rtt_ms, measured)]
    far = _far_nodes(net, links, slow)
    for name, mean in far.items():
        rest = [one.rtt_ms for one in links if name not in (one.a, one.b) and one.rtt_ms is not None]
        yield Cause(
            "node-far",
            name,
            mean,
            f"all its links are slow: {mean:.0f} ms a round trip, other links {median(rest) if rest else 0:.1f} ms",
            "check its own network and load; if it is far away on purpose, a quorum of nearer nodes decides",
        )
    for link in slow:
        if link.a in far or link.b in far or link.rtt_ms is None:
            continue
        beside = (
            f"usual between their regions: {link.usual_ms:.0f} ms"
            if link.usual_ms is not None
            else f"on other links: {_others(measured, link.name):.1f} ms"
        )
        yield Cause(
            "link-slow",
            link.name,
            link.rtt_ms,
            f"a round trip takes {link.rtt_ms:.0f} ms; {beside}",
            "check the network between these two: the route, the provider, an overloaded line",
        )
    for link in links:
        if (link.lost_percent or 0.0) >= LOST_PERCENT_MIN:
            yield Cause(
                "link-lossy",
                link.name,
                (link.rtt_ms or 1.0) * (link.lost_percent or 0.0) / 10,
                f"{link.lost_percent:.1f} % of its packets are lost: each costs one more round trip",
                "check for an overloaded line, a bad cable or radio link, or a firewall that limits UDP between them",
            )
        if link.queued_bytes >= QUEUED_BYTES_MIN:
            yield Cause(
                "link-full",
                link.name,
                link.queued_bytes / 2**14,
                f"{link.queued_bytes / 2**20:.1f} MiB wait to be sent, on average",
                "the line is overloaded: give it more bandwidth, or send less",
            )


def _links_down(net: Net, links: Sequence[Link]) -> Iterator[Cause]:
    silent = {node.name for node in net.nodes if node.looks < 2}
    down = [link for link in links if link.up_percent < UP_PERCENT_MIN]
    ends = {end for link in down for end in (link.a, link.b)} - silent
    lost = {end for end in ends if all(link in down for link in links if end in (link.a, link.b))}
    # A node with every link down, while others have some up, is itself away.
    lost = {end for end in lost if len(lost) < len(ends) and sum(end in (link.a, link.b) for link in links) > 1}
    for end in sorted(lost):
        yield Cause("node-unreached", end, 9e8, "no other node has a link to it", "start it, or check its network")
    for link in down:
        if not (silent | lost) & {link.a, link.b}:
            yield Cause(
                "link-down",
                link.name,
                1e6 * (100 - link.up_percent),
                f"it was up {link.up_percent:.0f} % of the time",
                "check that both run, that their addresses (p2p.peers) are right and that UDP passes both ways",
            )


def _is_slow(link: Link, rtt_ms: float, measured: dict[str, float]) -> bool:
    if link.usual_ms is not None:
        return rtt_ms >= LINK_BEYOND_USUAL * link.usual_ms + LINK_MS_MIN
    return rtt_ms >= max(LINK_MS_MIN, RATIO * _others(measured, link.name)) and len(measured) > 1


def _far_nodes(net: Net, links: Sequence[Link], slow: Sequence[Link]) -> dict[str, float]:
    """Returns nodes whose links are all slow, while no other link is."""
    found = {}
    for node in net.nodes:
        own = [one for one in links if node.name in (one.a, one.b) and one.rtt_ms is not None]
        bad = [one for one in own if one in slow]
        elsewhere = [one for one in slow if one not in own]
        if len(own) >= 2 and len(bad) == len(own) and not elsewhere:
            found[node.name] = sum(one.rtt_ms or 0.0 for one in own) / len(own)
    return found


def _own(net: Net) -> Iterator[Cause]:
    """Yields work that one node does more slowly than the others do the same."""
    for stage in (stage for stage in STAGES if stage.name in OWN_MS_MIN):
        spreads = {node.name: node.spread(stage.metric) for node in net.heard}
        means = {name: one.mean_ms or 0.0 for name, one in spreads.items() if one.count >= COUNT_MIN}
        for name, mean in means.items():
            others = _others(means, name)
            if len(means) > 1 and mean >= max(OWN_MS_MIN[stage.name], RATIO * others):
                disk = stage.name == "persist"
                yield Cause(
                    "disk-slow-store" if disk else "node-slow",
                    name,
                    mean - others,
                    f"the stage {stage.name} takes {mean:.1f} ms, on the other nodes {others:.1f} ms",
                    stage.advice
                    if disk
                    else "check what else its machine does, and whether its cores are as fast as the others'",
                )


def _starved(net: Net) -> Iterator[Cause]:
    found = []
    for node in net.heard:
        wall, cpu = node.spread(STEP_WALL), node.spread(STEP_CPU)
        if wall.count >= COUNT_MIN and wall.mean_ms is not None and cpu.mean_ms is not None:
            waits = wall.mean_ms - cpu.mean_ms
            if waits >= WAIT_MS_MIN and wall.mean_ms >= RATIO * cpu.mean_ms:
                found.append((node.name, waits, wall.mean_ms, cpu.mean_ms))
    for name, waits, wall_ms, cpu_ms in found:
        yield Cause(
            "cpu-short",
            name,
            waits,
            f"a step of the core takes {wall_ms:.1f} ms but computes for {cpu_ms:.1f} ms: it waits for a processor",
            "give its machine more cores, or move other processes away",
        )


THREADS = (
    ("execute", ("rustorium_execution_block_seconds", "rustorium_storage_commit_seconds"), "executing and storing"),
    ("journal", (SYNC,), "syncing the journal"),
    ("core", (STEP_CPU,), "the Python core's steps"),
)
FULL_ADVICE = {
    "execute": "this thread is the limit: use faster cores or disks, fewer operations, or a larger storage.cache_bytes",
    "journal": "the disk is the limit: use a faster one for safety/",
    "core": "the core is the limit: raise txpool.batch_delay_us, which makes fewer and larger batches",
}


def _full(net: Net) -> Iterator[Cause]:
    """Yields threads that are busy nearly all the time: each limits the throughput."""
    for node in net.heard:
        for name, metrics, what in THREADS:
            share = sum(node.spread(metric).total for metric in metrics) / node.seconds if node.seconds > 0 else 0.0
            if share >= FULL_SHARE:
                yield Cause(
                    f"{name}-full",
                    node.name,
                    1000 * share,
                    f"{what} takes {100 * min(share, 1.0):.0f} % of one thread's time",
                    FULL_ADVICE[name],
                )


def _refused(net: Net) -> Iterator[Cause]:
    for node in net.heard:
        busy, done = node.count("rustorium_gateway_busy"), max(1.0, node.count("rustorium_execution_transactions"))
        if busy > 0:
            yield Cause(
                "pool-full",
                node.name,
                1000 * busy / (busy + done),
                f"the node refused {busy:.0f} transactions of clients as busy",
                "more arrives than the net can execute: spread clients over more nodes, and check the slowest stage",
            )


def _late(leaders: Sequence[Leader], explained: set[str]) -> Iterator[Cause]:
    """Yields leaders whose proposals come late, so that all nodes wait."""
    for one in leaders:
        heard = [other for other in leaders if other.shard == one.shard and other.proposals >= COUNT_MIN]
        known = {other.name: other.late_ms for other in heard}
        if one.name in explained or one.name not in known or len(known) < 2:
            continue
        others = _others(known, one.name)
        if one.late_ms >= max(LATE_MS_MIN, RATIO * others):
            yield Cause(
                "leader-late",
                one.name,
                one.late_ms - others,
                f"its proposals come {one.after_ms:.0f} ms after there is work, and the network doesn't explain "
                f"{one.late_ms:.0f} ms of this (other leaders: {others:.1f} ms); in its views all nodes wait for it",
                "check what its machine does at that time, and how fast its cores and disk are (`doctor --home`, and "
                "`analyze performance --flame` for the steps of its core)",
            )


def _losing(leaders: Sequence[Leader]) -> list[str]:
    """Returns the leaders whose proposals come in few of their views of some shard, or never."""
    found = list[str]()
    for shard in dict.fromkeys(one.shard for one in leaders):
        counts = {one.name: one.proposals for one in leaders if one.shard == shard}
        few = {name for name, count in counts.items() if count < FEW_SHARE * _others(counts, name)}
        found += [name for name in counts if name in few and _others(counts, name) >= COUNT_MIN]
    return list(dict.fromkeys(found))


def _views(net: Net, leaders: Sequence[Leader]) -> Iterator[Cause]:
    """Yields failed views: leaders that don't propose in time cost every node a time-out."""
    reporter = max(net.heard, key=lambda node: node.count("rustorium_consensus_nullified_views"), default=None)
    if reporter is None:
        return
    failed = reporter.count("rustorium_consensus_nullified_views")
    views = reporter.spread("rustorium_consensus_view_seconds").count
    if failed < 1 or failed < FAILED_VIEWS_MIN * views:
        return
    missing = [node.name for node in net.nodes if node.looks < 2]
    losing = _losing(leaders)
    said = f"; {', '.join(missing)} didn't answer" if missing else ""
    said += f"; {', '.join(losing)} sent few proposals or none" if losing else ""
    yield Cause(
        "views-fail",
        losing[0] if len(losing) == 1 else reporter.name,
        1e5 * failed / max(views, failed),
        f"{reporter.name} saw {failed:.0f} of {views:.0f} views end without a block{said}",
        "a leader that is down or slow makes all nodes wait: repair or remove the node named here, or read "
        "`logs aggregate HOME --level warn` to find whose views fail",
    )


def _findings(net: Net) -> Iterator[Cause]:
    """Yields the problems that nodes found with themselves."""
    for node in net.heard:
        for code, gauge in _found(node).items():
            if gauge > 0 and code in FINDINGS and code not in SHOWN_BY_OTHERS:
                yield Cause(
                    code,
                    node.name,
                    1e7 * gauge,
                    f"the node reported this finding {100 * gauge:.0f} % of the time",
                    FINDINGS[code].advice,
                )


def _found(node: Node) -> dict[str, float]:
    return {code: gauge.mean for code, gauge in node.gauges_by("rustorium_node_finding", "code").items()}
