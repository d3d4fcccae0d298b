"""Independent checks of every run: the invariants of design 5, on what nodes sign, certify and execute.

Invariants: no code shared with the core; what was once final stays final through every crash; the first breach ends the
run with a sentence that names it.
"""

from rustorium.consensus.vocabulary import Certificate, OwnVote, VoteKind
from rustorium.sim.model import Block


class BreachError(AssertionError):
    """An invariant doesn't hold."""


class Checkers:
    """Sees the whole world, crashes included; traitors' own votes are none of its business."""

    def __init__(self, honest: frozenset[int]) -> None:
        self._honest = honest
        self._votes: dict[tuple[int, VoteKind, int], bytes | None] = {}
        self._certificates: dict[tuple[VoteKind, int], bytes | None] = {}
        self._final_by_height: dict[int, Block] = {}
        self._root_by_height: dict[int, bytes] = {}
        self._state_by_height: dict[int, bytes] = {}
        self.final_height = 0

    def vote_left(self, node: int, vote: OwnVote) -> None:
        """Called when an honest node's vote reaches the wire; the memory outlives the node's own."""
        if node not in self._honest:
            return
        known = self._votes.setdefault((node, vote.kind, vote.view), vote.digest)
        if known != vote.digest:
            raise BreachError(f"node {node} cast two votes {vote.kind.name} in view {vote.view}")
        other = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(vote.kind)
        if other is not None and (node, other, vote.view) in self._votes:
            raise BreachError(f"node {node} cast both nullify and finalize in view {vote.view}")

    def certified(self, certificate: Certificate) -> None:
        kind, view, digest = certificate.kind, certificate.view, certificate.digest
        known = self._certificates.setdefault((kind, view), digest)
        if known != digest:
            raise BreachError(f"view {view} has two digests with certificate {kind.name}")
        other = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(kind)
        if other is not None and (other, view) in self._certificates:
            raise BreachError(f"view {view} is both finalized and nullified")

    def executed(self, node: int, block: Block, root: bytes) -> None:
        """Called when an honest node executes a block as final, again after a restart too."""
        if node not in self._honest:
            return
        height = block.facts.height
        known = self._final_by_height.setdefault(height, block)
        if known.facts.digest != block.facts.digest:
            raise BreachError(f"height {height} has two final blocks")
        below = self._final_by_height.get(height - 1)
        if below is not None and block.facts.parent != below.facts.digest:
            raise BreachError(f"final height {height} doesn't extend final height {height - 1}")
        if self._root_by_height.setdefault(height, root) != root:
            raise BreachError(f"height {height} has two result roots")
        claim = self._root_by_height.get(block.facts.claimed_height)
        if block.facts.claimed_height and claim is not None and claim != block.claimed_root:
            raise BreachError(f"final height {height} claims another root than was executed")
        if below is not None and block.facts.claimed_height < below.facts.claimed_height:
            raise BreachError(f"the claim of height {height} goes back")
        self._root_claimed(block, below)
        self.final_height = max(self.final_height, height)

    def rooted(self, node: int, height: int, root: bytes) -> None:
        """Called when an honest node has made the state root of a height, again after a restart too."""
        if node in self._honest and self._state_by_height.setdefault(height, root) != root:
            raise BreachError(f"height {height} has two state roots")

    def _root_claimed(self, block: Block, below: Block | None) -> None:
        height, rooted = block.facts.height, block.facts.rooted_height
        root = self._state_by_height.get(rooted)
        if rooted and root != block.state_root:
            raise BreachError(f"final height {height} claims another state root than was made, or one that nobody made")
        if rooted > block.facts.claimed_height:
            raise BreachError(f"final height {height} claims the state root of a height that it claims no result of")
        if below is not None and rooted < below.facts.rooted_height:
            raise BreachError(f"the state root claim of height {height} goes back")

    def final_chain(self) -> list[Block]:
        return [self._final_by_height[height] for height in sorted(self._final_by_height)]
