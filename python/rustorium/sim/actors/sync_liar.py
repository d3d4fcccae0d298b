"""A traitor that serves others falsely: other blocks and batches than were asked for, altered ones, ranges cut short,
certificates without a quorum, signatures that the asker never made.

Invariants: it lies in answers alone. Besides that, it withholds frames from one peer, which must then ask for them.
"""

from rustorium.sim.actors.base import RESPONSE, SYNC, Actor, ActorKey, Outgoing, body_of, certificate, signature_of
from rustorium.sim.frames import FINALIZE, VOTE_BYTES

NOT_HELD, BLOCK, BATCH, CERTIFICATES, FINAL_BLOCKS, OWN_SIGNATURES = (bytes([tag]) for tag in range(6))
ANSWERS = (
    "not held",
    "block",
    "batch answer",
    "certificates",
    "final blocks",
    "own signatures",
    "state",
    "epoch end",
)
CONTENT_AT = 1 + 8
"""Offset of an answer's content, after the number of the question."""


class SyncLiar(Actor):
    """A lying sync server."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._gave: dict[str, bytes] = {}
        """The newest true content of each kind of answer."""

    def send(self, out: Outgoing, /) -> None:
        self._hand.learn(out)
        message = out.said["message"]
        if message not in ANSWERS:
            super().send(out)
            return
        (target,) = out.targets
        for frame in self._lies(out, target, message):
            out.world.pass_on(out.source, target, SYNC, frame)
        self._gave[message] = out.frame[CONTENT_AT:]

    def lets_out(self, out: Outgoing, target: int, /) -> bool:
        if out.said["message"] in ("batch", "proposal") and target == out.world.member_after(out.number, 1):
            self.did(out.world, "withheld, to be asked for")
            return False
        return True

    def _lies(self, out: Outgoing, target: int, message: str) -> list[bytes]:
        """Returns the frames sent in an answer's place: often two or three, since only one question fits."""
        world, rng = out.world, out.world.rng
        number, content = out.frame[1:CONTENT_AT], out.frame[CONTENT_AT:]
        lies: list[tuple[str, bytes]] = [("not held", NOT_HELD), ("altered", self._altered(content, rng.random()))]
        if message in self._gave:
            lies.append(("another", self._gave[message]))
        if message == "final blocks":
            lies.append(("range without its proof", content[:1] + b"\0\0\0\0\0"))
        if message in ("certificates", "not held"):
            lies.append(("certificates", CERTIFICATES + b"\1\0\0\0" + self._false_certificate(out)))
        if message == "own signatures":
            lies.append(("signatures", self._false_signatures(out, target)))
        rng.shuffle(lies)
        told = lies[: rng.randint(1, 2)]
        for what, _ in told:
            self.did(world, f"false answer: {what}")
        frames = [RESPONSE + number + lie for _, lie in told]
        unasked = RESPONSE + rng.randrange(1 << 20).to_bytes(8, "little") + content
        return [*frames, unasked] if rng.random() < 0.2 else frames

    @staticmethod
    def _altered(content: bytes, where: float) -> bytes:
        at = int(where * len(content))
        return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]

    def _false_certificate(self, out: Outgoing) -> bytes:
        own = self._hand.vote(out.world, out.source, self._hand.view + 1, FINALIZE, out.world.rng.randbytes(32))
        return certificate(body_of(own), [(signer, signature_of(own)) for signer in range(out.world.n)])

    def _false_signatures(self, out: Outgoing, target: int) -> bytes:
        """Returns votes that the asker allegedly cast: a key must not be given up for a peer's word (R27)."""
        own = self._hand.vote(out.world, out.source, self._hand.view + 1, FINALIZE, out.world.rng.randbytes(32))
        vote = own[1 : VOTE_BYTES + 1]
        named = vote[: VOTE_BYTES - 66] + target.to_bytes(2, "little") + vote[VOTE_BYTES - 64 :]
        finalization = b"\1" + self._false_certificate(out)
        epoch = self._hand.epoch.to_bytes(8, "little")
        return OWN_SIGNATURES + epoch + finalization + b"\1\0\0\0" + named + b"\0"
