"""`zk ceremony`: files that participants pass on, and the errors for files that were tampered with.

A circuit's phase 2 takes minutes and is tested in crates/zk; this file tests a small phase 1, and the files.
"""

import json
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.errors import CeremonyRefused, UsageError
from rustorium.zk import ceremony

PTAU = Path(__file__).resolve().parents[1] / "zk" / "powers-4.ptau"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ceremony") / "0"
    ceremony.begin(path, "shielded-transfer", power=4)
    return path


def test_phase_1_by_two_and_a_beacon(cli: Cli, begun: Path, tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in "123")
    told = []
    steps = ((begun, one, ("alice",)), (one, two, ("bob",)), (two, three, ("beacon", "--beacon", "ab" * 32)))
    for before, after, (name, *beacon) in steps:
        made = cli("zk", "ceremony", "contribute", before, after, "--name", name, *beacon, "-o", "json")
        assert (made.code, made.err) == (0, "")
        told.append(json.loads(made.out)["hash"])
    listed = cli("zk", "ceremony", "verify", three, "--expect", told[0], "--expect", told[1].upper(), "-o", "json")
    assert (listed.code, listed.err) == (0, "")
    lines = json.loads(listed.out)
    assert [(line["phase"], line["number"], line["name"]) for line in lines] == [
        (1, 1, "alice"),
        (1, 2, "bob"),
        (1, 3, "beacon"),
    ]
    assert [line["hash"] for line in lines] == told
    assert lines[2]["origin"] == f"beacon {'ab' * 32} 2^20"
    late = cli("zk", "ceremony", "contribute", three, tmp_path / "4", "--name", "late")
    late.fails(2, "ended with a beacon", "ceremony-not-possible")
    cli("zk", "ceremony", "verify", two, "--expect", told[2]).fails(4, told[2], "ceremony-refused")
    # A beacon's part proves nobody's contribution.
    cli("zk", "ceremony", "verify", three, "--expect", told[2]).fails(
        4, "beacon", "everybody knows", "ceremony-refused"
    )
    tampered = tmp_path / "tampered"
    content = bytearray(one.read_bytes())
    place = content.rindex(b"\x05alice") + 1
    content[place : place + 5] = b"malic"
    tampered.write_bytes(content)
    cli("zk", "ceremony", "verify", tampered).fails(4, 'contribution 1 of phase 1 ("malic")', "ceremony-refused")
    cli("zk", "ceremony", "contribute", tampered, tmp_path / "5", "--name", "carol").fails(4, "contribution 1")
    tampered.write_bytes(content[:-1])
    cli("zk", "ceremony", "verify", tampered).fails(4, "cut off")
    cli("zk", "ceremony", "finalize", one, tmp_path / "keys").fails(2, "begin a circuit's phase 2", "ceremony-not")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"1", "2", "3", "tampered"}, "what failed left nothing behind"


def test_a_beacon_alone_is_no_phase(cli: Cli, begun: Path, tmp_path: Path) -> None:
    beacon = ("--name", "beacon", "--beacon", "ab" * 32, "--beacon-log2", 1)
    alone = cli("zk", "ceremony", "contribute", begun, tmp_path / "alone", *beacon)
    alone.fails(2, "phase 1 has no contribution of a secret", "first", "ceremony-not-possible")
    assert list(tmp_path.iterdir()) == []
    # An earlier release made such a file.
    made = PTAU.with_name("beacon-only.ceremony")
    for command in (("verify", made), ("new", tmp_path / "2", "--powers", made), ("finalize", made, tmp_path / "keys")):
        cli("zk", "ceremony", *command).fails(4, "phase 1 has no contribution of a secret", "ceremony-refused")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_written_over(cli: Cli, begun: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    for command in (
        ("new", there),
        ("contribute", begun, there, "--name", "alice"),
    ):
        cli("zk", "ceremony", *command).fails(2, "never overwritten")
    (tmp_path / ceremony.VERIFYING_KEY).write_text("mine")
    cli("zk", "ceremony", "finalize", begun, tmp_path).fails(2, "verifying.key", "never overwritten")
    assert there.read_text() == "mine"


def test_an_impossible_ceremony_is_refused_before_any_work(cli: Cli, begun: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("zk", "ceremony", "new", out, "--circuit", "sudoku").fails(2, "sudoku", "shielded-transfer", "rollup")
    cli("zk", "ceremony", "new", out, "--ptau", PTAU, "--powers", begun).fails(2, "one of them")
    cli("zk", "ceremony", "new", out, "--ptau", PTAU).fails(2, "2^4", "2^14", "ceremony-not-possible")
    cli("zk", "ceremony", "new", out, "--ptau", begun).fails(4, "not a .ptau", "ceremony-refused")
    cli("zk", "ceremony", "new", out, "--powers", begun, "--power", 4).fails(2, "one of them")
    cli("zk", "ceremony", "new", out, "--powers", begun).fails(2, "nobody has contributed", "ceremony-not-possible")
    cli("zk", "ceremony", "new", out, "--powers", tmp_path / "missing").fails(2, "missing")
    cli("zk", "ceremony", "contribute", begun, out, "--name", "a", "--beacon", "xy").fails(2, "64 hex digits")
    cli("zk", "ceremony", "contribute", begun, out, "--name", "a", "--beacon", "ab").fails(2, "64 hex digits")
    cli("zk", "ceremony", "contribute", begun, out, "--name", "a\nb").fails(2, "1 to 64 bytes")
    cli("zk", "ceremony", "verify", PTAU).fails(4, "zk ceremony", "ceremony-refused")
    assert not out.exists()


def test_phase_1_from_a_ptau_says_that_it_was_imported(cli: Cli, tmp_path: Path) -> None:
    out, more = tmp_path / "out", tmp_path / "more"
    assert cli("zk", "ceremony", "new", out, "--ptau", PTAU, "--power", 4).code == 0
    assert cli("zk", "ceremony", "contribute", out, more, "--name", "alice").code == 0
    listed = cli("zk", "ceremony", "verify", more, "-o", "json")
    assert [line["name"] for line in json.loads(listed.out)] == ["imported powers", "alice"]
    assert "who made them is for their own transcript to show" in listed.err
    assert "WARNING" in listed.err
    hashed = json.loads(listed.out)[0]["hash"]
    cli("zk", "ceremony", "verify", more, "--expect", hashed).fails(4, "import", "ceremony-refused")
    few = cli("zk", "ceremony", "new", tmp_path / "phase-2", "--powers", more)
    few.fails(2, "the powers are of 2^4 and the circuit needs 2^14", "ceremony-not-possible")


def test_work_stops_where_progress_raises_and_leaves_nothing(begun: Path, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        ceremony.contribute(begun, tmp_path / "out", "alice", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_another_ceremony_is_refused(begun: Path) -> None:
    found = ceremony.verify(begun)
    assert (found.phase, found.circuit, found.contributions, found.verifying_key) == (1, None, (), None)
    with pytest.raises(CeremonyRefused, match="not the one"):
        ceremony.expect(found, [], b"key")
    with pytest.raises(UsageError, match="64 hex"):
        ceremony.contribute(begun, begun.with_name("x"), "alice", beacon=b"short")
