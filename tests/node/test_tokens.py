"""Tokens are made once, stored as hashes, read strictly and compared in constant time, and a change of the file counts
at once."""

import hmac
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rustorium import _native
from rustorium.errors import AccessRefused, HomeError, KeyFileError, NotFound, UsageError
from rustorium.home.tokens import (
    DOMAIN,
    TEXT,
    TOKENS_MAX,
    Role,
    Scope,
    Token,
    authenticate,
    checksum,
    for_gateway,
    hash_of,
    issue,
    load,
    named_tokens,
    read_token,
    revoke,
)
from rustorium.node.admin.keyring import LOOK_S, Keyring

NOW = 1_800_000_000_000


def made(path: Path, name: str = "ops", role: Role | None = Role.read, expires_ms: int | None = None) -> str:
    return issue(path, name, role, Scope.submit, expires_ms, NOW)[1]


def check(path: Path, text: str | None, now_ms: int = NOW) -> Token:
    return authenticate({token.id: token for token in load(path)}, text, now_ms)


def code_of(path: Path, text: str | None, now_ms: int = NOW) -> str:
    with pytest.raises(AccessRefused) as refused:
        check(path, text, now_ms)
    if text:
        assert text not in refused.value.message
    return refused.value.code


def test_a_token_is_valid_until_it_expires_or_is_revoked(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    text = made(path, expires_ms=NOW + 1000)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TEXT.fullmatch(text)
    assert check(path, text, NOW + 999).name == "ops"
    assert code_of(path, text, NOW + 1000) == "token-expired"
    other = made(path, "other", role=None)
    assert (check(path, other).role, check(path, other).gateway) == (None, "submit")
    assert revoke(path, "ops").role == "read"
    assert code_of(path, text) == "token-unknown"
    assert check(path, other).name == "other"
    with pytest.raises(NotFound, match="other"):
        revoke(path, "ops")


def test_only_a_hash_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    text = made(path)
    for file in tmp_path.iterdir():
        assert text[21:] not in file.read_text()
    [row] = json.loads(path.read_text())["tokens"]
    assert row["hash"] == _native.value_hash(DOMAIN + text.encode()).hex()
    assert "hash" not in load(path)[0].row(NOW)
    assert json.loads(for_gateway(load(path))) == [
        {"id": row["id"], "hash": row["hash"], "scope": "submit", "expires_ms": None}
    ]


def test_the_hash_that_the_gateway_computes_is_this_one() -> None:
    # The gateway's own test has the same values: crates/gateway/src/gate.rs.
    text = "rsk_0123456789abcdef_" + "A" * 43
    assert hash_of(text) == "5b4db791475e3abf83f54b0fcb3e78520441070f96e11f84779d8464a7606852"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "rsk_",
        "rsk_0123456789abcdef_",
        "Bearer x",
        "\x00",
        "rsk_" + "\u0660" * 16 + "_" + "A" * 43,
        "x" * 10_000,
    ],
)
def test_an_invalid_token_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "tokens.json"
    good = made(path)
    assert code_of(path, text) == ("token-missing" if text is None else "token-unknown")
    for near in (good[:-1], good + "A", good.upper(), good[:-1] + ("A" if good[-1] != "A" else "B"), f" {good}"):
        assert code_of(path, near) == "token-unknown"


def test_hashes_are_compared_in_constant_time_also_where_the_id_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    real = hmac.compare_digest
    path = tmp_path / "tokens.json"
    text = made(path)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    check(path, text)
    code_of(path, "rsk_" + "0" * 16 + text[20:])
    code_of(path, "nonsense")
    assert compared == [(64, 64)] * 3


def rows(*changes: dict[str, Any]) -> str:
    good = {
        "id": "0" * 16,
        "name": "a",
        "role": "read",
        "gateway": None,
        "created_ms": 1,
        "expires_ms": None,
        "hash": "0" * 64,
    }
    tokens = [{key: value for key, value in (good | change).items() if value != "gone"} for change in changes]
    return json.dumps({"format": 1, "tokens": tokens, "checksum": checksum(tokens)})


def loaded_or_code(path: Path) -> tuple[Token, ...] | str:
    try:
        return load(path)
    except HomeError as error:
        return error.code


def test_a_flipped_bit_or_a_cut_never_grants_another_right(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    made(path, expires_ms=NOW + 1000)
    made(path, "other", role=Role.operate)
    good, known = path.read_bytes(), load(path)
    flipped = [good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :] for at in range(len(good)) for bit in range(8)]
    for content in flipped + [good[:at] for at in range(len(good) - 1)]:
        path.write_bytes(content)
        assert loaded_or_code(path) in (known, "tokens-invalid"), content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no file of tokens"),
        ("[" * 100_000, "no file of tokens"),
        ("[]", "no file of tokens"),
        ('{"tokens": []}', "no file of tokens"),
        ('{"format": 2, "tokens": [], "more": 1}', "has format 2, and this release reads format 1"),
        ('{"format": 1, "tokens": [], "more": 1}', "unknown field"),
        ('{"format": 1}', "missing required field"),
        (rows({"role": "root"}), "Invalid enum value 'root'"),
        (rows({"hash": "gone"}), "missing required field `hash`"),
        (rows({"more": 1}), "unknown field"),
        (rows({"hash": "0" * 63}), "wrong digits"),
        (rows({"id": "G" * 16}), "wrong digits"),
        (rows({"name": "A b"}), "a name in it is none"),
        (rows({"expires_ms": -1}), "a time of a is none"),
        (rows({}, {}), "twice"),
        (rows({}, {"name": "b"}), "twice"),
        (rows(*({"id": f"{n:016x}", "name": f"n{n}"} for n in range(TOKENS_MAX + 1))), "more than 256"),
        (rows({}).replace('"expires_ms": null', '"expires_ms": 9999'), "its checksum is that of other tokens"),
        (" " * 2_000_000, "longer than"),
    ],
)
def test_a_changed_file_or_one_of_another_release_admits_nobody(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(HomeError, match=said) as refused:
        load(path)
    assert refused.value.code == "tokens-invalid"
    with pytest.raises(HomeError, match=said):
        made(path, "new")
    assert path.read_text() == content, "what can't be read is never overwritten"


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    made(path)
    path.chmod(0o640)
    with pytest.raises(HomeError, match="chmod 600"):
        load(path)


def test_names_and_numbers_of_tokens_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    made(path, "a")
    for name, code in (("a", "token-exists"), ("", "usage"), ("A", "usage"), ("../x", "usage"), ("x" * 65, "usage")):
        with pytest.raises(UsageError) as refused:
            made(path, name)
        assert refused.value.code == code
    path.write_text(rows(*({"id": f"{n:016x}", "name": f"n{n}"} for n in range(TOKENS_MAX))))
    with pytest.raises(UsageError, match="revoke one"):
        made(path, "one-more")


def test_each_role_includes_those_before_it() -> None:
    order = [Role.read, Role.operate, Role.admin]
    for place, role in enumerate(order):
        assert [role.covers(needed) for needed in order] == [other <= place for other in range(3)]


def test_a_running_node_knows_a_change_at_once_and_tells_the_gateway(tmp_path: Path) -> None:
    path, told = tmp_path / "tokens.json", list[list[str]]()
    keyring = Keyring(path)
    keyring.tell(lambda text: told.append([one["id"] for one in json.loads(text)]))
    first = made(path, "first")
    assert keyring.check(first, NOW).name == "first"
    assert told == [[], [first[4:20]]]
    good = path.read_text()
    path.write_text(good.replace('"format": 1', '"format": 9'))
    with pytest.raises(HomeError, match="format 9"):
        keyring.check(first, NOW)
    assert told[-1] == [], "nobody is let in by what was known before"
    path.write_text(good)
    assert keyring.check(first, NOW).name == "first"
    path.unlink()
    with pytest.raises(AccessRefused):
        keyring.check(first, NOW)
    path.write_text("{}")
    path.chmod(0o600)
    with pytest.raises(HomeError):
        Keyring(path)


def test_a_change_by_another_process_reaches_the_gateway_at_the_next_check(tmp_path: Path) -> None:
    path, told, faults = tmp_path / "tokens.json", list[int](), list[str]()

    async def main() -> None:
        keyring = Keyring(path)
        keyring.tell(lambda text: told.append(len(json.loads(text))))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keyring.watch, lambda error: faults.append(error.code))
            made(path)
            await trio.sleep(2 * LOOK_S)
            path.chmod(0o644)
            await trio.sleep(3 * LOOK_S)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert (told, faults) == ([0, 1, 0], ["tokens-exposed"])


def test_a_token_file_is_one_line_that_its_owner_reads(tmp_path: Path) -> None:
    path, text = tmp_path / "token", made(tmp_path / "tokens.json")
    for content, mode, code in (
        (text, 0o644, "token-file-exposed"),
        ("", 0o600, "token-file-invalid"),
        (f"{text}\n{text}", 0o600, "token-file-invalid"),
        ("\u00e9" * 100, 0o600, "token-file-invalid"),
        (None, 0, "token-file-missing"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
            os.chmod(path, mode)
        with pytest.raises(KeyFileError) as refused:
            read_token(path)
        assert refused.value.code == code
        assert text not in refused.value.message
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    assert named_tokens(None, {"RUSTORIUM_TOKEN_FILE": str(path)}) == text
    assert named_tokens(path, {}) == text
    assert named_tokens(None, {"RUSTORIUM_TOKEN_FILE": ""}) is None
