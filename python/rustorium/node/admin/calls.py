"""The calls of the admin plane: what each does, which role it needs, and what the audit log says about it.

Invariants: the caller is known before anything is done. A call that changes something is in the audit log before it
takes effect, and isn't carried out if that fails, except for `stop`. Every call is counted in the trail, refused ones
too. The rate of each caller is bounded, and a refusal costs as much as ten calls.
"""

import json
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import trio

from rustorium import _native
from rustorium.errors import AccessRefused, HomeError, NodeError, RustoriumError, TooManyCalls
from rustorium.home.followers import AllowedFollowers, add, parse, remove
from rustorium.home.passphrases import PASSPHRASE_ORDERED
from rustorium.home.tokens import Role, Token
from rustorium.node.admin.keyring import Keyring
from rustorium.node.admin.ratelimit import Buckets
from rustorium.node.admin.tokenwork import CREATION, REVOCATION, create, fields_of, revoke_token
from rustorium.node.admin.trail import Trail
from rustorium.node.profile import SECONDS_MAX, Profiler

OWNER_RATE_PER_S = 100.0
OWNER_BURST = 200.0
TOKEN_RATE_PER_S = 20.0
TOKEN_BURST = 100.0
REFUSAL_COST = 10.0
NOTE_BYTES_MAX = 16 * 1024
"""Maximum size of a caller's note in the audit log, which nothing removes."""

Arguments = Mapping[str, Any]


class AdminNode(Protocol):
    """The part of a node that the calls need."""

    def status(self) -> str: ...

    def addresses(self) -> dict[str, str]: ...

    def audit(self, event: str, fields_json: str) -> None: ...

    def rotate_keys(self) -> None: ...

    def rotation(self) -> str: ...

    def copy_store(self, shard: int, /) -> None: ...

    def copying(self, shard: int, /) -> str: ...

    def snapshots(self, shard: int, /) -> str: ...

    def create_snapshot(self, shard: int, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller, as far as it is known, and its role."""

    by: str
    """The caller's name in the trail."""
    role: Role
    fields: Mapping[str, object]
    """The caller's fields in an audit line."""
    owner: bool = False
    """`True` if the call came over the node's own socket."""

    def known(self) -> dict[str, object]:
        """Returns the fields that every line about a call has."""
        return {**self.fields, "role": self.role.value}


def socket_owner(uid: int, pid: int) -> Caller:
    """Returns the caller for the node's own user, or root, on its socket."""
    return Caller(f"uid {uid}", Role.admin, {"by": "admin socket", "uid": uid, "pid": pid}, owner=True)


@dataclass(frozen=True, slots=True)
class Operation:
    """A call: the lowest role that may make it, its action, and the audit line written before that."""

    role: Role
    run: Callable[[Arguments, Caller], object]
    event: str | None = None
    audit_fields: Callable[[Arguments], dict[str, object]] = lambda _: {}


class Plane:
    """The admin plane of one node."""

    def __init__(
        self,
        node: AdminNode,
        stop: Callable[[str], None],
        profiler: Profiler | None = None,
        keyring: Keyring | None = None,
        addresses: Mapping[str, str] | None = None,
        trail: Trail | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        allowed: AllowedFollowers | None = None,
        replace_key: Callable[[], None] | None = None,
    ) -> None:
        """`profiler`: of the core's steps. `keyring`: without one, no token is valid. `addresses`: addresses that the
        node itself doesn't list. `allowed`: the allowed followers; without it they can't be changed. `replace_key`:
        starts the replacement of the storage key, without waiting."""
        self._node, self._stop, self._profiler, self._keyring = node, stop, profiler, keyring
        self._addresses, self._now_ms, self._allowed = dict(addresses or {}), now_ms, allowed
        self._replace_key = replace_key
        self.trail = Trail() if trail is None else trail
        self._owners = Buckets(OWNER_RATE_PER_S, OWNER_BURST)
        self._bearers = Buckets(TOKEN_RATE_PER_S, TOKEN_BURST)
        self._strangers = Buckets(TOKEN_RATE_PER_S, TOKEN_BURST)
        self.operations = self._table()

    def _table(self) -> dict[str, Operation]:
        def look(run: Callable[[], object]) -> Operation:
            return Operation(Role.read, lambda _arguments, _caller: _native_call(run))

        def look_in(of: Callable[[AdminNode], Callable[[int], str]]) -> Operation:
            return Operation(
                Role.read,
                lambda arguments, _caller: json.loads(_native_call(of(self._node), _shard(arguments))),
            )

        def note(event: str) -> Operation:
            return Operation(Role.operate, lambda _arguments, _caller: {}, event, _fields)

        def act(
            role: Role, event: str, run: Callable[[Arguments], object], audit_fields: Any = lambda _: {}
        ) -> Operation:
            return Operation(role, lambda arguments, _caller: run(arguments), event, audit_fields)

        return {
            "status": look(lambda: json.loads(self._node.status())),
            "addresses": look(lambda: {**self._node.addresses(), **self._addresses}),
            "stop": Operation(Role.operate, self._order_stop, "stop ordered"),
            "note_recovery": note("recover"),
            "note_anchor": note("audit anchored"),
            "note_passphrase": note(PASSPHRASE_ORDERED),
            "rotate_keys": act(Role.admin, "key rotation ordered", lambda _: self._order(self._node.rotate_keys)),
            "replace_storage_key": act(
                Role.admin, "storage key replacement ordered", lambda _: self._order(self._replacement())
            ),
            "rotation": look(lambda: json.loads(self._node.rotation())),
            "copy_store": act(
                Role.operate,
                "copy of the store ordered",
                lambda arguments: self._order(partial(self._node.copy_store, _shard(arguments))),
                _shard_field,
            ),
            "copying": look_in(lambda node: node.copying),
            "note_backup": note("backup"),
            "snapshots": look_in(lambda node: node.snapshots),
            "create_snapshot": act(
                Role.operate,
                "snapshot ordered",
                lambda arguments: json.loads(_native_call(self._node.create_snapshot, _shard(arguments))),
                _shard_field,
            ),
            "profile_steps": act(Role.operate, "profile ordered", self._profile_steps),
            "take_profile": Operation(Role.operate, lambda _arguments, _caller: self._steps().take()),
            "whoami": Operation(Role.read, lambda _arguments, caller: caller.known()),
            "tokens": Operation(Role.admin, lambda _arguments, _caller: self._list_tokens()),
            "create_token": act(Role.admin, CREATION, partial(self._change_tokens, create), fields_of),
            "revoke_token": act(Role.admin, REVOCATION, partial(self._change_tokens, revoke_token), fields_of),
            "followers": Operation(Role.read, lambda _arguments, _caller: self._followers().rows()),
            "add_follower": act(Role.admin, "follower named", partial(self._change_followers, add), _node_key),
            "remove_follower": act(Role.admin, "follower removed", partial(self._change_followers, remove), _node_key),
        }

    def serves(self, node: AdminNode, profiler: Profiler, replace_key: Callable[[], None]) -> None:
        """Continues with a node that has been opened. What the trail could not write before is written now."""
        self._node, self._profiler, self._replace_key = node, profiler, replace_key
        self.trail.wake()

    def audit(self, event: str, fields_json: str) -> None:
        """Writes a line to the audit log of the present node. Errors: NativeError, NodeError."""
        self._node.audit(event, fields_json)

    # ---- who calls -------------------------------------------------------------------------------------------------

    def bearer(self, text: str | None, address: str, call: str) -> Caller:
        """Returns the caller with this token. Errors: AccessRefused, TooManyCalls."""
        try:
            token, role = self._check(text)
        except AccessRefused as error:
            self._note(f"address {address}", call, error.code)
            self._spend(self._strangers, address, REFUSAL_COST)
            raise
        fields = {"by": "token", "token": token.name, "id": token.id, "address": address}
        return Caller(f"token {token.name}", role, fields)

    def _check(self, text: str | None) -> tuple[Token, Role]:
        if self._keyring is None:
            raise AccessRefused("this node takes no tokens: use its admin socket", code="token-unknown")
        try:
            token = self._keyring.check(text, self._now_ms())
        except HomeError as error:
            # A stranger should not learn what is in which file.
            raise AccessRefused(
                "the node can't read its tokens: its owner sees why by `admin token list` on its machine",
                code=error.code,
            ) from None
        if token.role is None:
            raise AccessRefused(
                f"the token {token.name} is only for the gateway: create one with --role", code="role-too-low"
            )
        return token, token.role

    def refuse_user(self, uid: int) -> AccessRefused:
        """Refuses a user that could open the socket but is not its owner."""
        self._note(f"uid {uid}", "any", "not-the-owner")
        return AccessRefused(
            "the admin socket is for the node's own user and root: use a token, and check the socket's owner and mode",
            code="not-the-owner",
        )

    def _note(self, by: str, call: str, outcome: str) -> None:
        self.trail.note(by, call if call in self.operations else "unknown", outcome, trio.current_time())

    def _spend(self, buckets: Buckets, key: Hashable, cost: float) -> None:
        wait_s = buckets.take(key, trio.current_time(), cost)
        if wait_s > 0:
            retry_after_ms = max(1, round(1000 * wait_s))
            raise TooManyCalls(
                f"too many calls were made, or too many refused: try again in {retry_after_ms} ms",
                retry_after_ms=retry_after_ms,
            )

    # ---- what is called --------------------------------------------------------------------------------------------

    def perform(self, call: str, arguments: Arguments, caller: Caller) -> object:
        """Performs a call, if the caller may make it. Errors: RustoriumError, never with a secret in it."""
        outcome = "ok"
        try:
            return self._perform(call, arguments, caller)
        except RustoriumError as error:
            outcome = error.code
            raise
        except RecursionError:
            outcome = "bad-request"
            raise NodeError("the arguments are nested too deeply: send what the call needs", code=outcome) from None
        except BaseException:
            outcome = "fault"
            raise
        finally:
            self._note(caller.by, call, outcome)

    def _perform(self, call: str, arguments: Arguments, caller: Caller) -> object:
        buckets = self._owners if caller.owner else self._bearers
        self._spend(buckets, caller.by, 1.0)
        operation = self.operations.get(call)
        if operation is None:
            raise NodeError(f'send {{"op": …}} with one of: {", ".join(self.operations)}', code="bad-request")
        if not caller.role.covers(operation.role):
            self._spend(buckets, caller.by, REFUSAL_COST - 1.0)
            raise AccessRefused(
                f"{call} needs the role {operation.role}, and {caller.by} has {caller.role}: use one that has it",
                code="role-too-low",
            )
        if operation.event is not None:
            self._audit(operation.event, operation.audit_fields(arguments) | self._calling(operation, caller), call)
        return operation.run(arguments, caller)

    @staticmethod
    def _calling(operation: Operation, caller: Caller) -> dict[str, object]:
        # A note's own fields stay separate from those of its caller.
        return {"caller": caller.known()} if operation.audit_fields is _fields else caller.known()

    def _audit(self, event: str, fields: Mapping[str, object], call: str) -> None:
        try:
            _native_call(self._node.audit, event, json.dumps(fields))
        except NodeError:
            # A full disk must not prevent a stop of the node; the trail has the call, and tries again.
            if call != "stop":
                raise

    def _order_stop(self, _arguments: Arguments, caller: Caller) -> object:
        self._stop(f"ordered by {'the admin socket' if caller.owner else caller.by}")
        return {}

    @staticmethod
    def _order(work: Callable[[], None]) -> object:
        _native_call(work)
        return {}

    def _replacement(self) -> Callable[[], None]:
        if self._replace_key is None:
            raise NodeError("the node doesn't run yet: try again when it is ready", code="not-ready")
        return self._replace_key

    def _profile_steps(self, arguments: Arguments) -> object:
        seconds = arguments.get("seconds")
        wanted = seconds if isinstance(seconds, (int, float)) and 0 < seconds <= SECONDS_MAX else 0.0
        self._steps().start(float(wanted))
        return {}

    def _steps(self) -> Profiler:
        if self._profiler is None:
            raise NodeError("the node runs no steps yet: try again when it is ready", code="not-ready")
        return self._profiler

    def _tokens(self) -> Keyring:
        if self._keyring is None:
            raise NodeError("this node takes no tokens", code="not-ready")
        return self._keyring

    def _list_tokens(self) -> object:
        keyring = self._tokens()
        keyring.refresh()
        if keyring.fault is not None:
            raise keyring.fault
        return [token.row(self._now_ms()) for token in keyring.tokens]

    def _change_tokens(self, change: Callable[[Path, Arguments, int], object], arguments: Arguments) -> object:
        keyring = self._tokens()
        done = change(keyring.path, arguments, self._now_ms())
        keyring.refresh()
        return done

    def _followers(self) -> AllowedFollowers:
        if self._allowed is None:
            raise NodeError("the node doesn't run yet: try again when it is ready", code="not-ready")
        return self._allowed

    def _change_followers(self, change: Callable[[Path, str], list[str]], arguments: Arguments) -> object:
        return self._followers().change(change, arguments.get("node_key"))


def _shard(arguments: Arguments) -> int:
    """Returns the named shard, 0 unless one is named. Errors: NodeError."""
    shard = arguments.get("shard", 0)
    if isinstance(shard, bool) or not isinstance(shard, int) or not 0 <= shard < 1 << 32:
        raise NodeError("a shard is a number: send its number as `rustorium shard list` shows it", code="bad-request")
    return shard


def _shard_field(arguments: Arguments) -> dict[str, object]:
    """Returns the shard for an audit line, unless it is the root."""
    shard = _shard(arguments)
    return {"shard": shard} if shard else {}


def _node_key(arguments: Arguments) -> dict[str, object]:
    return {"node_key": parse(arguments.get("node_key"))}


def _fields(arguments: Arguments) -> dict[str, object]:
    fields = arguments.get("fields")
    found = dict(fields) if isinstance(fields, dict) else {}
    if len(json.dumps(found)) > NOTE_BYTES_MAX:
        raise NodeError(f"a note for the audit log has at most {NOTE_BYTES_MAX} bytes: say less", code="bad-request")
    return found


def _native_call(work: Callable[..., Any], *arguments: object) -> Any:
    try:
        return work(*arguments)
    except _native.NativeError as error:
        raise NodeError(error.args[0], code=error.code) from None
