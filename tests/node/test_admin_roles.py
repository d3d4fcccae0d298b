"""Rights at the admin plane: every call with every role, its rate, and its audit lines."""

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from admin_tools import FakeNode, calls
from rustorium import _native
from rustorium.errors import AccessRefused, NodeError, RustoriumError, TooManyCalls
from rustorium.home.followers import AllowedFollowers, add
from rustorium.home.tokens import Role, Scope, issue, load
from rustorium.node.admin.calls import OWNER_BURST, TOKEN_BURST, Caller, Plane, socket_owner
from rustorium.node.admin.keyring import Keyring
from rustorium.node.admin.ratelimit import Buckets
from rustorium.node.admin.trail import EVENT, KINDS_MAX, PERIOD_S_MAX, Trail
from rustorium.node.profile import Profiler

ROLES = {
    "status": "read",
    "addresses": "read",
    "stop": "operate",
    "note_recovery": "operate",
    "note_anchor": "operate",
    "note_passphrase": "operate",
    "rotate_keys": "admin",
    "replace_storage_key": "admin",
    "rotation": "read",
    "copy_store": "operate",
    "copying": "read",
    "note_backup": "operate",
    "snapshots": "read",
    "create_snapshot": "operate",
    "profile_steps": "operate",
    "take_profile": "operate",
    "whoami": "read",
    "tokens": "admin",
    "create_token": "admin",
    "revoke_token": "admin",
    "followers": "read",
    "add_follower": "admin",
    "remove_follower": "admin",
}
"""The role of each call; a new call needs a row here."""
ARGUMENTS: dict[str, dict[str, Any]] = {
    "profile_steps": {"seconds": 1},
    "create_token": {"name": "new", "role": "read"},
    "revoke_token": {"name": "old"},
    "add_follower": {"node_key": "aa" * 32},
    "remove_follower": {"node_key": "bb" * 32},
}
EVENTS = {
    "stop": "stop ordered",
    "note_recovery": "recover",
    "note_anchor": "audit anchored",
    "note_passphrase": "passphrase replacement ordered",
    "rotate_keys": "key rotation ordered",
    "replace_storage_key": "storage key replacement ordered",
    "copy_store": "copy of the store ordered",
    "note_backup": "backup",
    "create_snapshot": "snapshot ordered",
    "profile_steps": "profile ordered",
    "create_token": "token creation ordered",
    "revoke_token": "token revocation ordered",
    "add_follower": "follower named",
    "remove_follower": "follower removed",
}
"""The audit lines that a call writes before it takes effect."""
NOW = 1_800_000_000_000


def disk_full() -> _native.NativeError:
    error = _native.NativeError("the disk is full")
    error.code = "disk-full"
    return error


async def at_once(work: Callable[[], bool]) -> bool:
    """Replaces a thread, for which the test's clock would not wait."""
    return work()


def in_trio(work: Callable[[], None]) -> None:
    async def main() -> None:
        work()

    trio.run(main, clock=trio.testing.MockClock())


def plane(folder: Path, node: FakeNode, stopped: list[str] | None = None) -> Plane:
    path = folder / "tokens.json"
    if not path.exists():
        issue(path, "old", Role.read, None, None, NOW)
    keyring = Keyring(path)
    add(folder / "followers.json", "bb" * 32)
    allowed, stop = AllowedFollowers(folder / "followers.json", []), (stopped if stopped is not None else []).append
    replaced = partial(node.audited.append, "storage key replaced")
    return Plane(node, stop, Profiler(), keyring, now_ms=lambda: NOW, allowed=allowed, replace_key=replaced)


def bearer(role: Role) -> Caller:
    return Caller("token t", role, {"by": "token", "token": "t", "id": "0" * 16, "address": "127.0.0.1"})


def test_every_call_has_the_role_that_was_decided_for_it(tmp_path: Path) -> None:
    operations = plane(tmp_path, FakeNode()).operations
    assert {name: operation.role.value for name, operation in operations.items()} == ROLES
    assert {name: one.event for name, one in operations.items() if one.event is not None} == EVENTS


@pytest.mark.parametrize(("call", "role"), list(product(ROLES, Role)))
def test_every_call_with_every_role(tmp_path: Path, call: str, role: Role) -> None:
    node, stopped = FakeNode(), list[str]()
    found = plane(tmp_path, node, stopped)
    before = (tmp_path / "tokens.json").read_bytes()
    allowed = role.covers(Role(ROLES[call]))

    def work() -> None:
        if not allowed:
            with pytest.raises(AccessRefused, match=f"{call} needs the role {ROLES[call]}") as refused:
                found.perform(call, ARGUMENTS.get(call, {}), bearer(role))
            assert refused.value.code == "role-too-low"
            return
        found.perform(call, ARGUMENTS.get(call, {}), bearer(role))
        if call in EVENTS:
            event, fields = node.lines[0]
            assert event == EVENTS[call]
            known = fields.get("caller", fields)
            assert (known["by"], known["token"], known["role"]) == ("token", "t", role)

    in_trio(work)
    if not allowed:
        assert (node.lines, stopped) == ([], [])
        assert (tmp_path / "tokens.json").read_bytes() == before
    assert found.trail.due(0) == [
        {"by": "token t", "call": call, "outcome": "ok" if allowed else "role-too-low", "count": 1}
    ]


def test_a_call_that_cannot_be_audited_is_refused_except_stop(tmp_path: Path) -> None:
    class Full(FakeNode):
        def audit(self, event: str, fields_json: str) -> None:
            raise disk_full()

    node, stopped = Full(), list[str]()
    found = plane(tmp_path, node, stopped)
    monkey = socket_owner(0, 1)

    def work() -> None:
        with pytest.raises(NodeError, match="the disk is full"):
            found.perform("rotate_keys", {}, monkey)
        with pytest.raises(NodeError, match="the disk is full"):
            found.perform("create_token", {"name": "x", "role": "admin"}, monkey)
        found.perform("stop", {}, monkey)

    in_trio(work)
    assert node.audited == []
    assert stopped == ["ordered by the admin socket"]
    assert [token.name for token in load(tmp_path / "tokens.json")] == ["old"]


def test_a_note_for_the_audit_log_is_bounded(tmp_path: Path) -> None:
    node = FakeNode()
    found = plane(tmp_path, node)

    def work() -> None:
        with pytest.raises(NodeError, match="at most 16384 bytes: say less"):
            found.perform("note_backup", {"fields": {"why": "x" * 16_384}}, bearer(Role.operate))
        found.perform("note_backup", {"fields": {"why": "x" * 16_000}}, bearer(Role.operate))

    in_trio(work)
    assert len(node.said("backup")) == 1


def test_a_token_is_in_no_line_of_the_audit_log_and_its_maker_is(tmp_path: Path) -> None:
    node = FakeNode()
    found, texts = plane(tmp_path, node), list[str]()

    def work() -> None:
        made = found.perform("create_token", {"name": "x", "role": "operate", "expires_in_ms": 5}, bearer(Role.admin))
        assert isinstance(made, dict)
        assert (made["role"], made["expires_ms"]) == ("operate", NOW + 5)
        texts.append(str(made["token"]))
        caller = found.bearer(texts[0], "127.0.0.1", "status")
        assert (caller.by, caller.role) == ("token x", "operate")
        found.perform("status", {}, caller)
        for wrong in (f"{texts[0]}x", "rsk_secret", None):
            with pytest.raises(AccessRefused) as refused:
                found.bearer(wrong, "127.0.0.1", "status")
            assert "secret" not in refused.value.message
        found.perform("revoke_token", {"name": "x"}, bearer(Role.admin))
        with pytest.raises(AccessRefused):
            found.bearer(texts[0], "127.0.0.1", "status")

    in_trio(work)
    [ordered] = node.said("token creation ordered")
    assert (ordered["name"], ordered["role"], ordered["expires_in_ms"], ordered["token"]) == ("x", "admin", "5", "t")
    assert ordered["token_role"] == "operate", "beside the caller's role"
    assert node.said("token revocation ordered")[0]["name"] == "x"
    written = json.dumps([node.lines, found.trail.due(0)])
    assert texts[0] not in written
    assert texts[0][21:] not in written
    assert "secret" not in written


def test_a_gateway_token_does_not_open_the_admin_plane(tmp_path: Path) -> None:
    _, text = issue(tmp_path / "tokens.json", "client", None, Scope.submit, None, NOW)
    found = plane(tmp_path, FakeNode())

    def work() -> None:
        with pytest.raises(AccessRefused, match="only for the gateway") as refused:
            found.bearer(text, "127.0.0.1", "status")
        assert refused.value.code == "role-too-low"

    in_trio(work)


# ---- how often -------------------------------------------------------------------------------------------------------


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    buckets = Buckets(rate_per_s=2, burst=4, keys_max=2)
    assert [buckets.take("a", 0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert buckets.take("b", 0) == 0
    assert buckets.take("a", 0.5) == 0
    assert buckets.take("a", 0.5, cost=3) == 1.5
    assert buckets.take("a", 2.0, cost=3) == 0
    assert buckets.take("a", 1.0) == 0.5, "a clock that goes back gives nothing"
    assert [buckets.take("a", 1e9) for _ in range(5)] == [0, 0, 0, 0, 0.5], "no more than a burst is saved up"
    for key in range(100):
        buckets.take(key, 1e9)
    assert len(buckets) == 2


def test_refusals_cost_more_and_do_not_exclude_other_clients(tmp_path: Path) -> None:
    _, text = issue(tmp_path / "tokens.json", "good", Role.read, None, None, NOW)
    node = FakeNode()
    found = plane(tmp_path, node)
    codes: list[str] = []

    async def main() -> None:
        for _ in range(30):
            try:
                found.bearer("rsk_nonsense", "192.0.2.1", "status")
            except AccessRefused as error:
                codes.append(error.code)
        assert codes[:10] == ["token-unknown"] * 10
        assert set(codes[10:]) == {"too-many-calls"}
        # Behind a proxy all clients have one address. A client with a token must still get in.
        caller = found.bearer(text, "192.0.2.1", "status")
        for _ in range(int(TOKEN_BURST)):
            found.perform("status", {}, caller)
        with pytest.raises(TooManyCalls) as refused:
            found.perform("status", {}, caller)
        assert refused.value.retry_after_ms == 50
        owner = socket_owner(1000, 1)
        for _ in range(int(OWNER_BURST)):
            found.perform("status", {}, owner)
        with pytest.raises(TooManyCalls):
            found.perform("status", {}, owner)
        await trio.sleep(0.05)
        found.perform("status", {}, caller)
        await trio.sleep(10)
        for _ in range(10):
            with pytest.raises(AccessRefused, match="needs the role admin"):
                found.perform("rotate_keys", {}, caller)
        with pytest.raises(TooManyCalls):
            found.perform("status", {}, caller)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# ---- the trail -------------------------------------------------------------------------------------------------------


def test_a_flood_of_calls_is_a_few_lines_a_day_and_every_call_is_counted() -> None:
    trail, told, lines = Trail(), 0, 0
    for second in range(24 * 3600):
        for _ in range(3):
            trail.note("address 192.0.2.1", "status", "token-unknown", second)
        if rows := trail.due(second):
            lines += 1
            told += sum(int(str(row["count"])) for row in rows)
            trail.told(rows, second)
    left = sum(int(str(row["count"])) for row in trail.due(0, all_of_it=True))
    assert told + left == 3 * 24 * 3600
    assert 24 <= lines <= 32


def test_kinds_are_bounded_and_those_that_ended_make_room() -> None:
    trail = Trail()
    for number in range(10 * KINDS_MAX):
        trail.note(f"token {number}", "status", "ok", 0)
    rows = trail.due(0)
    assert len(rows) == KINDS_MAX + 1
    assert rows[-1] == {"by": "others", "call": "any", "outcome": "any", "count": 9 * KINDS_MAX}
    trail.told(rows, 0)
    assert trail.due(2 * PERIOD_S_MAX) == []
    trail.note("token 7", "status", "ok", 2 * PERIOD_S_MAX)
    trail.told(trail.due(2 * PERIOD_S_MAX), 2 * PERIOD_S_MAX)
    trail.note("token new", "status", "ok", 2 * PERIOD_S_MAX)
    assert [row["by"] for row in trail.due(2 * PERIOD_S_MAX)] == ["token new"]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 100), st.integers(0, 5000)), max_size=60))
def test_the_trail_counts_each_call_once(steps: list[tuple[int, int, int]]) -> None:
    trail, now_s, told = Trail(), 0.0, 0
    for who, pause, later in steps:
        trail.note(f"token {who}", "status", "ok", now_s)
        now_s += pause
        rows = trail.due(now_s)
        told += sum(int(str(row["count"])) for row in rows)
        trail.told(rows, now_s)
        now_s += later
    told += sum(int(str(row["count"])) for row in trail.due(now_s, all_of_it=True))
    assert told == len(steps)


def test_the_trail_is_written_at_once_then_each_minute_and_at_the_end() -> None:
    trail, node, failing = Trail(), FakeNode(), [True]

    def audit(event: str, fields_json: str) -> None:
        if failing:
            raise disk_full()
        node.audit(event, fields_json)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trail.run, audit, at_once)
            trail.note("uid 1", "status", "ok", trio.current_time())
            await trio.sleep(1)
            assert node.lines == []
            failing.clear()
            await trio.sleep(60)
            assert calls(node) == {("uid 1", "status", "ok"): 1}
            for _ in range(5):
                trail.note("uid 1", "status", "ok", trio.current_time())
            trail.note("uid 1", "stop", "ok", trio.current_time())
            await trio.sleep(1)
            assert calls(node) == {("uid 1", "status", "ok"): 1, ("uid 1", "stop", "ok"): 1}
            await trio.sleep(130)
            assert calls(node)["uid 1", "status", "ok"] == 6
            trail.note("uid 1", "status", "ok", trio.current_time())
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert calls(node)["uid 1", "status", "ok"] == 7
    assert {event for event, _ in node.lines} == {EVENT}


def test_arguments_of_any_shape_end_in_an_error_of_ours(tmp_path: Path) -> None:
    found, deep = plane(tmp_path, FakeNode()), json.loads("[" * 900 + "]" * 900)
    shapes: list[dict[str, Any]] = [
        {"fields": deep, "name": deep, "role": deep, "seconds": deep},
        {"name": "\ud800", "role": "read", "gateway": 7, "expires_in_ms": True},
        {"name": "x", "role": "read", "expires_in_ms": 10**400, "seconds": 10**400},
        {"name": None, "role": {}, "seconds": float("nan"), "fields": "text"},
    ]

    codes = set[str]()

    async def main() -> None:
        for call, shape in product(ROLES, shapes):
            await trio.sleep(1)
            try:
                found.perform(call, shape, socket_owner(0, 1))
            except RustoriumError as error:
                codes.add(error.code)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert codes == {"usage", "not-found", "bad-request"}
