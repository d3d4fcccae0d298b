"""Activates protocol version 2 on a running chain of version 1, for the operators whose keys are given.

Invariants: SYNC; nothing is put before enough members are ready; a value names one epoch, so an epoch that ends too
early makes it worthless, and another is put; every step can be repeated after an interruption.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustorium.client import operations
from rustorium.errors import NotReady, RustoriumError, UsageError
from rustorium.health.verdict import quorum
from rustorium.types import NodeStatus

if TYPE_CHECKING:
    from rustorium.client import Client, Key

ACTIVATION_KEY = b"rustorium/activate/2"
"""The key in an operator's account under which the value is."""
VERSION = 2
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What else begins with version 2."""

    operator_quorum: int | None = None
    """Operators that must approve from then on; `None`: as many as now."""
    parameters: Mapping[str, Any] | None = None
    """Chain parameters that change, by their names."""

    def changes(self) -> str:
        """Returns the parameters that change as JSON."""
        return json.dumps(dict(self.parameters or {}))


@dataclass(frozen=True, slots=True)
class Done:
    """How far an activation got."""

    epoch: int
    put: list[str]
    """Accounts whose value is proven."""
    needed: int
    active: bool


def check_signers(genesis: bytes, signers: Sequence["Key"], wanted: Wanted) -> None:
    """Checks that the chain can activate version 2 with what operators want, and that the keys are operators'. Errors:
    UsageError."""
    from rustorium import _native

    operators = json.loads(_native.genesis_describe(genesis))["parameters"]["operators"]
    try:
        _native.activation_plan(genesis, 0, "00" * 32, wanted.operator_quorum, wanted.changes())
    except ValueError as error:
        raise UsageError(str(error)) from None
    for one in signers:
        if one.public_key not in operators:
            raise UsageError(
                f"{one.address} is not an operator of this chain, so its value counts for nothing: name an operator's "
                "--key"
            )


def check_ready(statuses: Sequence[NodeStatus], committee: Any, without: Sequence[str]) -> None:
    """Checks by the links of a quorum of validators that all members but those of `without` run a release that knows
    version 2. Errors: UsageError, NotReady with one sentence."""
    from rustorium import _native

    members = list(committee["validators"])
    names = [str(one["name"]) for one in members]
    if unknown := [name for name in without if name not in names]:
        raise UsageError(f"the committee has no validator {unknown[0]}: it has {', '.join(names)}")
    spare = len(names) - quorum(len(names))
    if len(without) > spare:
        raise UsageError(f"a committee of {len(names)} goes on without {spare} of its members, not without more")
    for one in members:
        for field in ("validator_key", "node_key", "owner_key"):
            if field in one and _native.is_small_order(str(one[field])):
                raise NotReady(
                    f"the {field.replace('_', ' ')} of {one['name']} is of small order, under which anybody can sign: "
                    "replace it with `rustorium-node node replace-key`, then run this again"
                )
    if list(committee["next"]) != members:
        raise NotReady("the committee changes at the end of this epoch: run this again in the next epoch")
    heard = [one for one in statuses if one.chain and one.role == "validator"]
    if (active := [one for one in heard if one.protocol >= VERSION]) and heard:
        raise NotReady(f"version 2 is active already: {active[0].node} is in epoch {active[0].epoch} of it")
    excused, need = set(without), quorum(len(names))
    if unable := sorted({one.node for one in heard if one.protocol == 0} - excused):
        raise NotReady(f"{', '.join(unable)} runs a release that doesn't know version 2: install this one there")
    answering = [one for one in heard if one.protocol > 0]
    if len(answering) < need:
        raise NotReady(
            f"{len(answering)} of {len(names)} validators say what releases their peers run, {need} must: name more of "
            "them with --node, or start them"
        )
    older = sorted({name for one in answering for name in one.older} - excused)
    if older:
        raise NotReady(
            f"{', '.join(older)} runs a release that doesn't know version 2: install this one there, or name up to "
            f"{spare} validators that may stand with --without"
        )
    away = sorted({name for one in answering for name in one.unreachable} - excused)
    if away:
        raise NotReady(
            f"{', '.join(away)} is not connected, so nobody knows which release it runs: start it, or name up to "
            f"{spare} validators that may stand with --without"
        )


def activate(
    client: "Client",
    genesis: bytes,
    signers: Sequence["Key"],
    wanted: Wanted,
    timeout_s: float,
    note: Callable[[str], None],
) -> Done:
    """Puts the operators' values, waits until a quorum of them is proven, approves the epoch's end, and waits for the
    first epoch of version 2. Where the epoch ends earlier, it says so and begins again. Errors: Refused,
    TransactionFailed, NotReady."""
    deadline = time.monotonic() + timeout_s
    while True:
        epoch, value = _plan(client, genesis, wanted)
        done = _try_once(client, genesis, signers, (epoch, value), deadline, note)
        if done is not None:
            return done
        note(f"Epoch {epoch} ended before a quorum of the values was proven: putting them again for the next one.")


def _plan(client: "Client", genesis: bytes, wanted: Wanted) -> tuple[int, str]:
    from rustorium import _native

    answer = client.validators()
    _, epoch, committee = _native.block_committee(client.block("latest").raw)
    if epoch != int(answer["epoch"]):
        # The newest block is the boundary: the next block has the new committee, which is the same one here.
        epoch = int(answer["epoch"])
    try:
        return epoch, _native.activation_plan(genesis, epoch, committee, wanted.operator_quorum, wanted.changes())
    except ValueError as error:
        raise UsageError(str(error)) from None


def _try_once(
    client: "Client",
    genesis: bytes,
    signers: Sequence["Key"],
    planned: tuple[int, str],
    deadline: float,
    note: Callable[[str], None],
) -> Done | None:
    """Returns how far it got; `None` if the epoch ended without version 2."""
    from rustorium import _native

    epoch, value = planned
    for one in signers:
        signed = _native.sign_activation(one.seed, value)
        client.send([operations.put(one.address, ACTIVATION_KEY, signed)], key=one, wait="final")
        note(f"Put the value of {one.address} for epoch {epoch}.")
    parameters = json.loads(_native.genesis_describe(genesis))["parameters"]
    needed, places = int(parameters["operator_quorum"]), _places(genesis, signers)
    while True:
        proven = sorted(
            {operator: address for operator, address in places if _holds(client, operator, address, value)}.values()
        )
        if len(proven) >= needed:
            break
        if int(client.validators()["epoch"]) != epoch:
            return None
        if time.monotonic() > deadline:
            note(
                f"{len(proven)} of {needed} operators have put this value: the others run the same command; then run "
                "it again."
            )
            return Done(epoch, proven, needed, active=False)
        time.sleep(POLL_S)
    for one in signers:
        if int(client.validators()["epoch"]) == epoch:
            _approve_end(client, one, epoch)
    while (now := client.status()).epoch == epoch:
        if time.monotonic() > deadline:
            note(f"The values are proven. Epoch {epoch} ends when more operators run this, or by itself.")
            return Done(epoch, proven, needed, active=False)
        time.sleep(POLL_S)
    if now.protocol < VERSION:
        return None
    note(f"Epoch {now.epoch} is of version {now.protocol}.")
    return Done(epoch, proven, needed, active=True)


def _approve_end(client: "Client", signer: "Key", epoch: int) -> None:
    """Approves the epoch's end; that it has ended meanwhile is no error."""
    try:
        client.send([operations.end_epoch(epoch)], key=signer, wait="final")
    except RustoriumError:
        if int(client.validators()["epoch"]) == epoch:
            raise


def _places(genesis: bytes, signers: Sequence["Key"]) -> list[tuple[str, str]]:
    """Returns operators' keys with their known accounts: those of the genesis, and those of these keys."""
    from rustorium import _native

    described = json.loads(_native.genesis_describe(genesis))
    operators = set(described["parameters"]["operators"])
    first = [(int(one["region"]), str(one["public_key"])) for one in described["accounts"]]
    known = [(key, _native.account_id(region, bytes.fromhex(key))) for region, key in first if key in operators]
    return list(dict.fromkeys([*known, *((one.public_key, one.address) for one in signers)]))


def _holds(client: "Client", operator: str, address: str, value: str) -> bool:
    """Returns whether the newest proven state has this operator's value."""
    from rustorium import _native

    raw = client.get(address, ACTIVATION_KEY)
    if raw is None or not _native.activation_holds(operator, raw):
        return False
    shown = json.loads(_native.activation_show(raw))
    body = {name: field for name, field in shown.items() if name != "signature"}
    return bool(body == json.loads(value))
