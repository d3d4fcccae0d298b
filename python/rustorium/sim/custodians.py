"""Owners of accounts whose authority changes, their recovery account, and thieves of their former keys.

Invariants: every transaction has a nonce that nobody was told to be used. An owner signs with any keys that the account
ever had, and with those that it may have next; which of them count is for the chain to say. At the end all changes are
due, on a chain at rest, and the keys in effect act.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.sim.custody_model import HOUR_MS, Custody, Settings
from rustorium.sim.groups import Group
from rustorium.sim.net import seed_of
from rustorium.sim.people import People
from rustorium.sim.replay import Replay

if TYPE_CHECKING:
    from rustorium.sim.clients import Clients

CUSTODIANS = 4
"""Number of accounts whose keys change. The last one recovers the others."""
GAP_MS = 90.0
PATIENCE_MS = 1_500.0
TOGETHER_MAX = 3
DELAYS_MS = (0, 0, 150, 600, 2_000)
KEYS = 3
ACTS_MS = 10_000.0
"""Time limit for the keys in effect to act at the end."""


@dataclass
class Owner:
    """The owner of one account, and all who have keys of it."""

    account: int
    address: str
    groups: list[Group]
    """All authorities that the account had or may have had, and those that it may have next."""
    nonce: int = 0
    believed: Group = field(init=False)
    """The authority of the last transaction that was executed."""
    asked: list[tuple[Settings, bool]] = field(default_factory=list)
    """Settings that were asked for, and whether grants become void with them."""
    under_way: int = 0

    def __post_init__(self) -> None:
        self.believed = self.groups[0]


class Custodians:
    """All owners of one shard's run."""

    def __init__(self, clients: "Clients", people: People, hours: tuple[float, ...]) -> None:
        """`hours`: times at which an hour passes."""
        self.world, self._people, self._hours = clients.world, people, hours
        self._rng, net = clients.world.rng, clients.world.net
        first = clients.operators.start - (net.owner is not None) - net.custodians
        numbers = range(first, first + net.custodians)
        self.owners = [
            Owner(number, net.accounts[number].address, [Group(1, (net.accounts[number].seed,))]) for number in numbers
        ]
        self._guardian = self.owners[-1]
        self._known: dict[bytes, Group] = {}
        for owner in self.owners:
            self._know(owner.groups[0])
        self._made = 0
        self.stopped = False

    def replay(self) -> Replay:
        """Begins a replay."""
        return Replay(self.custody(), None, self.first_keys())

    def custody(self) -> Custody:
        return Custody({owner.address: owner.groups[0] for owner in self.owners}, self._known)

    def first_keys(self) -> Mapping[bytes, bytes]:
        return {_native.parse_address(owner.address): owner.groups[0].keys[0] for owner in self.owners}

    def begin(self) -> None:
        for owner in self.owners:
            self._soon(owner)
        for at in self._hours:
            self.world.after_ms(at, self.pass_time, 1)

    def pass_time(self, hours: int) -> None:
        """Lets hours pass: all clocks are ahead by that much."""
        self.world.counts["an hour passed"] += 1
        for number in range(self.world.size):
            self.world.jump_clock(number, hours * HOUR_MS, 20.0)

    # ---- what owners do

    def _know(self, group: Group) -> None:
        self._known[bytes([group.threshold]) + b"".join(group.keys)] = group

    def _soon(self, owner: Owner) -> None:
        self.world.after_ms(self._rng.uniform(0, 2 * GAP_MS), self._next, owner)

    def _next(self, owner: Owner) -> None:
        if self.stopped:
            return
        self._soon(owner)
        if owner.under_way >= TOGETHER_MAX:
            return
        rng = self._rng
        draw = rng.random()
        group = owner.believed if draw < 0.5 else owner.groups[-1] if draw < 0.8 else rng.choice(owner.groups)
        if rng.random() < 0.05:
            self._people.forge(owner.address, group, owner.nonce, [self._put(owner)])
            return
        operations = self._operations(owner)
        # The value of each put is another one, so the transaction is like no other.
        once = operations[0]["type"] == "put" and rng.random() < 0.5
        self._submit(owner, group, operations, once=once)

    def _submit(self, owner: Owner, group: Group, operations: list[dict[str, Any]], *, once: bool) -> None:
        nonce = owner.nonce
        owner.under_way += 1

        def ended(height: int | None) -> None:
            owner.under_way -= 1
            if height is not None or not once:
                owner.nonce = max(owner.nonce, nonce + 1)
            if height is not None:
                owner.believed = group
                if group is not owner.groups[0]:
                    self.world.counts["later keys acted"] += 1

        self._people.submit(owner.account, owner.address, group, nonce, operations, ended, PATIENCE_MS, once=once)
        self.world.after_ms(PATIENCE_MS, self._rest, owner)

    def _rest(self, owner: Owner) -> None:
        """Lets an owner whose transactions don't end begin others."""
        owner.under_way = 0

    def _operations(self, owner: Owner) -> list[dict[str, Any]]:
        """Draws one operation, or two of which the second may fail, so that the first must have no effect."""
        first = self._operation(owner)
        if self._rng.random() > 0.2:
            return [first]
        if self._rng.random() < 0.5:
            key = f"key-{self._rng.randrange(2 * KEYS)}"
            return [first, {"type": "delete", "namespace": owner.address, "key": key}]
        return [first, self._put(owner)]

    def _operation(self, owner: Owner) -> dict[str, Any]:
        rng, draw = self._rng, self._rng.random()
        if owner is self._guardian and draw < 0.45:
            return self._guard(rng.choice(self.owners[:-1]))
        if draw < 0.55:
            return self._change(owner)
        if draw < 0.65:
            return {"type": "cancel_authority"}
        other = rng.choice([each for each in self.owners if each is not owner])
        if draw < 0.73:
            prefixes = [b"key".hex()] if rng.random() < 0.8 else []
            return {"type": "grant", "to": other.address, "prefixes_hex": prefixes}
        if draw < 0.83:
            return {**self._put(owner), "namespace": other.address}
        if draw < 0.9:
            net = self.world.net
            return {"type": "transfer", "to": other.address, "asset": net.asset, "amount": str(rng.randint(1, 99))}
        return self._put(owner)

    def _put(self, owner: Owner) -> dict[str, Any]:
        self._made += 1
        key = f"key-{self._rng.randrange(KEYS)}"
        return {"type": "put", "namespace": owner.address, "key": key, "value": f"value {self._made}"}

    def _group(self, owner: Owner) -> Group:
        """Draws new keys, or now and then former ones."""
        rng = self._rng
        if rng.random() < 0.15:
            return rng.choice(owner.groups)
        self._made += 1
        count = rng.choice([1, 1, 2, 3, 4])
        seeds = tuple(seed_of("held", owner.account, self._made, number) for number in range(count))
        group = Group(rng.randint(1, count), seeds)
        self._know(group)
        return group

    def _change(self, owner: Owner) -> dict[str, Any]:
        rng = self._rng
        group = self._group(owner)
        if group not in owner.groups:
            owner.groups.append(group)
        change: dict[str, Any] = {"type": "set_authority", "authority": group.said}
        delay_ms, recovery = rng.choice(DELAYS_MS), None
        if delay_ms:
            change["delay_ms"] = delay_ms
        if (owner is not self._guardian and rng.random() < 0.4) or rng.random() < 0.05:
            recovery = (self._guardian.address, rng.choice([1, 1, 2]) * HOUR_MS, rng.random() < 0.5)
            change["recovery"] = {"account": recovery[0], "delay_ms": recovery[1], "final": recovery[2]}
        void = rng.random() < 0.2
        if void:
            change["void_grants"] = True
        owner.asked.append((Settings(group, delay_ms, recovery), void))
        return change

    def _guard(self, owner: Owner) -> dict[str, Any]:
        """Draws an act of the recovery account on another account."""
        rng, draw = self._rng, self._rng.random()
        if draw < 0.5 and owner.asked:
            settings, void = owner.asked[-1] if rng.random() < 0.8 else rng.choice(owner.asked)
            return {"type": "approve_authority", "account": owner.address, "change": settings.hash(void=void)}
        if draw < 0.85:
            group = self._group(owner)
            if group not in owner.groups:
                owner.groups.append(group)
            return {"type": "recover", "account": owner.address, "authority": group.said}
        return {"type": "withdraw_recovery", "account": owner.address}

    # ---- the end

    def stop(self) -> None:
        self.stopped = True

    def finish(self) -> str:
        """Lets all changes come due on the chain at rest. Then the keys in effect act, and nobody else. Returns the
        goal that was missed, or an empty string."""
        world = self.world
        state = world.shadow.newest(world)
        assert state.replay is not None, "the run has accounts whose keys change"
        now_ms = world.checkers.final_chain()[-1].header.time_ms + 3 * HOUR_MS
        self.pass_time(3)
        world.run(world.now / 1e6 + 50.0)
        held = state.replay.custody.accounts
        # Blocks of other accounts would bring the time by which a change is due.
        for owner in sorted(self.owners, key=lambda owner: held[owner.address].waits is None):
            group = held[owner.address].at(now_ms).settings.group
            if not self._acts(owner, group, state.nonces[owner.groups[0].keys[0]]):
                return f"the keys in effect can't act for {owner.address}"
            world.counts["acted at the end"] += 1
        return ""

    def _acts(self, owner: Owner, group: Group, nonce: int) -> bool:
        acted: list[int] = []

        def ended(height: int | None) -> None:
            if height is not None:
                acted.append(height)

        self._people.submit(owner.account, owner.address, group, nonce, [self._put(owner)], ended, ACTS_MS)
        return self.world.run(self.world.now / 1e6 + ACTS_MS, lambda: bool(acted))
