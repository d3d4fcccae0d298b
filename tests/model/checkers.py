"""Independent checks of every run: the specification's invariants, on what nodes sign, certify and execute.

Invariants: no code shared with the core; what was once final stays final through every crash; the first breach ends the
run with a sentence that names it.
"""

from model.epochs import Epoch
from model.vocabulary import Block, Committee, EpochEnd, Member
from rustorium.consensus.vocabulary import Certificate, OwnVote, VoteKind
from rustorium.sim.errors import BreachError


class Checkers:
    """Observes the whole world, crashes included; traitors' own votes are ignored."""

    def __init__(self, honest: frozenset[int]) -> None:
        self._honest = honest
        self._votes: dict[tuple[int, Member, VoteKind, int], bytes | None] = {}
        self._certificates: dict[tuple[int, VoteKind, int], bytes | None] = {}
        self._epochs: dict[bytes, int] = {}
        self._starts: dict[int, tuple[Committee, bytes]] = {}
        self._final_by_height: dict[int, Block] = {}
        self._root_by_height: dict[int, bytes] = {}
        self._state_by_height: dict[int, bytes] = {}
        self.final_height = 0

    def made(self, block: Block) -> None:
        """Called when a node, honest or not, has built a block."""
        self._epochs[block.facts.digest] = block.epoch

    def vote_left(self, epoch: int, member: Member, vote: OwnVote) -> None:
        """Called when an honest node sends a vote. The checker remembers votes longer than the node."""
        if member.node not in self._honest:
            return
        if member not in self._starts[epoch][0]:
            raise BreachError(f"{member} votes in epoch {epoch} and isn't in its committee")
        if vote.digest is not None and self._epochs[vote.digest] != epoch:
            raise BreachError(f"{member} votes in epoch {epoch} for a block of epoch {self._epochs[vote.digest]}")
        known = self._votes.setdefault((epoch, member, vote.kind, vote.view), vote.digest)
        if known != vote.digest:
            raise BreachError(f"{member} cast two votes {vote.kind.name} in view {vote.view} of epoch {epoch}")
        other = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(vote.kind)
        if other is not None and (epoch, member, other, vote.view) in self._votes:
            raise BreachError(f"{member} cast both nullify and finalize in view {vote.view} of epoch {epoch}")

    def certified(self, epoch: int, certificate: Certificate) -> None:
        kind, view, digest = certificate.kind, certificate.view, certificate.digest
        known = self._certificates.setdefault((epoch, kind, view), digest)
        if known != digest:
            raise BreachError(f"view {view} of epoch {epoch} has two digests with certificate {kind.name}")
        other = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(kind)
        if other is not None and (epoch, other, view) in self._certificates:
            raise BreachError(f"view {view} of epoch {epoch} is both finalized and nullified")

    def begun(self, node: int, epoch: Epoch) -> None:
        """Called when an honest node begins an epoch, again after a restart too."""
        if node not in self._honest:
            return
        start = (epoch.committee, epoch.start.facts.digest)
        if self._starts.setdefault(epoch.number, start) != start:
            raise BreachError(f"epoch {epoch.number} begins with two committees or on two blocks")

    def ended(self, node: int, end: EpochEnd, wanted: Committee) -> None:
        """Called when an honest node has executed a boundary, with the finalization, and the committee that operators
        wanted at the height that the boundary claims."""
        if node not in self._honest:
            return
        if end.boundary.next_set != wanted:
            raise BreachError(f"the boundary of epoch {end.epoch} names another committee than the operators do")
        said = (end.boundary.facts.claimed_height, end.boundary.facts.rooted_height, end.boundary.next_set)
        for block in end.closing:
            facts = block.facts
            says = (facts.claimed_height, facts.rooted_height, block.next_set)
            if says != said or facts.has_payload or not facts.ends_epoch or block.epoch != end.epoch:
                raise BreachError(f"the closing block of view {facts.view} says something that its boundary doesn't")

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
        if below is not None and block.epoch != below.epoch + below.facts.ends_epoch:
            raise BreachError(f"final height {height} is of epoch {block.epoch}, and what is below it of {below.epoch}")
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
