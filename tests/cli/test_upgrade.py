"""`upgrade`: a home is converted to this release's format and back, wherever the process ends on the way. Its journal,
keys and store stay as they are."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.errors import HomeError
from rustorium.home import format as homeformat
from rustorium.home import upgrade as upgrading
from rustorium.home.paths import Home
from rustorium.home.setup import init_home
from rustorium.home.upgrade import carry_out, plan

FORMER = '# by hand\n[node]\nname = "old"\n\n[p2p.peers]\n"node-1" = "127.0.0.1:1"'
"""A configuration that the previous release wrote and an operator changed; its last line has no line end."""
UNTOUCHED = ("safety", "db", "node.key", "validator.key", "storage.key")


class Crash(BaseException):
    """The process ends here."""


def picture(home: Home) -> dict[str, bytes]:
    return {str(path.relative_to(home.path)): path.read_bytes() for path in home.path.rglob("*") if path.is_file()}


def untouched(home: Home) -> dict[str, bytes]:
    locks = ("db/LOCK", "safety/lock")
    return {name: content for name, content in picture(home).items()
            if name.split("/")[0] in UNTOUCHED and name not in locks}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with keys, made once because keys take a while."""
    folder = tmp_path_factory.mktemp("made")
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text("correct horse\n")
    init_home(folder / "home", "node-0", "validator", None, {}, None, secret, {})
    return folder / "home"


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    """A home as the previous release left it, with stand-ins for a store and a journal."""
    home = Home(tmp_path / "home")
    shutil.copytree(made, home.path)
    (home.db / "000001.log").write_bytes(b"rows")
    (home.safety / "segment-00000001.log").write_bytes(b"votes")
    (home.path / "format.json").unlink()
    home.config.write_text(FORMER)
    return home


def audited(home: Home) -> list[tuple[int, int, str]]:
    lines = [json.loads(line) for line in (home.path / "audit" / "audit.jsonl").read_text().splitlines()]
    fields = [line["fields"] for line in lines if line["event"] == "upgrade"]
    assert all(one["by"] == "operator" for one in fields)
    return [(one["from"], one["to"], one["state"]) for one in fields]


def test_a_home_is_upgraded_and_taken_back(cli: Cli, home: Home, passphrase: Path) -> None:
    secret = ("--passphrase-file", passphrase)
    before, kept = picture(home), untouched(home)
    shown = cli("upgrade", "--home", home.path, "--dry-run", "-o", "json")
    assert [(one["step"], one["state"]) for one in json.loads(shown.out)] == [
        ("config.toml", "to do"), ("format.json", "to do"),
    ]  # fmt: skip
    assert "from format 1 to 2" in shown.err
    assert picture(home) == before, "it only looked"
    done = cli("upgrade", "--home", home.path, *secret, "-o", "jsonl")
    assert done.code == 0, done.err
    assert [json.loads(line)["state"] for line in done.out.splitlines()] == ["done", "done"]
    found = homeformat.require_current(home.path)
    assert (found.format, found.marked) == (homeformat.FORMAT, homeformat.FORMAT)
    assert home.config.read_text().startswith(FORMER)
    assert home.load_config({}).config.node.name == "old"
    assert (home.path / "upgrade" / "2" / "config.toml").read_text() == FORMER
    again = cli("upgrade", "--home", home.path, *secret)
    assert (again.code, again.out) == (0, "")
    assert "format 2 already: there is nothing to do" in again.err
    back = cli("upgrade", "--home", home.path, "--back", *secret, "-o", "json")
    assert [one["step"] for one in json.loads(back.out)] == ["format.json", "config.toml"]
    assert home.config.read_text() == FORMER, "byte for byte"
    assert not (home.path / "format.json").exists()
    assert not (home.path / "upgrade").exists()
    assert untouched(home) == kept
    assert audited(home) == [(1, 2, "begun"), (1, 2, "done"), (2, 1, "begun"), (2, 1, "done")]
    nothing = cli("upgrade", "--home", home.path, "--back", *secret)
    assert nothing.code == 0
    assert "format 1 already" in nothing.err


def test_an_operators_later_changes_stay(home: Home) -> None:
    carry_out(home, back=False, audit=lambda _: None)
    text = home.config.read_text().replace('"old"', '"renamed"') + '\n[log]\nlevel = "debug"\n'
    home.config.write_text(text)
    carry_out(home, back=True, audit=lambda _: None)
    config = home.load_config({}).config
    assert (config.node.name, config.log.level, config.home.format) == ("renamed", "debug", 1)


@pytest.mark.parametrize("text", ["[home]\nformat = 2\n[node]\nname = 'x'\n", "[home]\nformat = 2 # two\n", ""])
def test_a_section_that_was_written_otherwise_is_taken_out_too(home: Home, text: str) -> None:
    carry_out(home, back=False, audit=lambda _: None)
    home.config.write_text(text)
    carry_out(home, back=True, audit=lambda _: None)
    assert "home" not in home.config.read_text()
    assert home.load_config({}).config.node.name == ("x" if "node" in text else "node-0")


def test_changes_for_a_person_are_listed(home: Home) -> None:
    home.config.write_text("[home]\n")
    with pytest.raises(HomeError, match="write `format = 2` into it") as refused:
        carry_out(home, back=False, audit=lambda _: None)
    assert refused.value.code == "upgrade-refused"
    home.config.write_text("[home]\nformat = 2\n")
    carry_out(home, back=False, audit=lambda _: None)
    home.config.write_text("home = { format = 2 }\n")
    with pytest.raises(HomeError, match="take it out by hand"):
        carry_out(home, back=True, audit=lambda _: None)
    home.config.write_text("")
    carry_out(home, back=True, audit=lambda _: None)
    assert not homeformat.look(home.path).unfinished


def test_a_rewritten_configuration_gets_its_mark_again(home: Home) -> None:
    carry_out(home, back=False, audit=lambda _: None)
    home.config.write_text(FORMER)
    assert homeformat.require_current(home.path).marked == 1
    assert [step.name for step in plan(home, back=False).steps] == ["config.toml"]
    carry_out(home, back=False, audit=lambda _: None)
    assert homeformat.require_current(home.path).marked == homeformat.FORMAT


def test_the_node_must_be_stopped(cli: Cli, home: Home, passphrase: Path) -> None:
    before = picture(home)
    with open(home.safety / "lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = cli("upgrade", "--home", home.path, "--passphrase-file", passphrase)
    ended.fails(1, "runs: stop it", "[home-locked]")
    assert {name for name, _ in picture(home).items() - before.items()} <= {"db/LOCK", "run/node.lock", "safety/lock"}


def test_a_home_that_the_previous_release_cannot_read_is_not_taken_back(
    cli: Cli, home: Home, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(home, back=False, audit=lambda _: None)
    before = picture(home)
    former = homeformat.FORMATS[1]
    older = homeformat.KnownFormat(former.release, dict(former.parts) | {"store": former.parts["store"] - 1})
    monkeypatch.setattr(upgrading, "FORMATS", {**homeformat.FORMATS, 1: older})
    ended = cli("upgrade", "--back", "--home", home.path, "--passphrase-file", passphrase)
    ended.fails(1, "the store of", "by now, and 0.1.0 reads", "a backup from before", "[upgrade-refused]")
    assert picture(home) == before


def test_a_home_whose_chain_has_version_2_is_not_taken_back(
    cli: Cli, home: Home, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(home, back=False, audit=lambda _: None)
    before = picture(home)
    monkeypatch.setattr(homeformat, "store_format", lambda folder: (5, 17))
    ended = cli("upgrade", "--back", "--home", home.path, "--passphrase-file", passphrase)
    ended.fails(1, "version 2 is active since height 17", "has format 5 by now", "[upgrade-refused]")
    assert picture(home) == before


# ---- wherever it ends ------------------------------------------------------------------------------------------------


def ends_at(monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> None:
    """Ends the process right before, or right after, the file change of this number."""
    left = [at]
    for name in ("replace_file", "remove_file"):
        real = getattr(homeformat, name)

        def limited(path: Path, *more: bytes, real: object = real) -> None:
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Crash
            real(path, *more)  # type: ignore[operator]
            if left[0] == 0:
                raise Crash

        monkeypatch.setattr(homeformat, name, limited)


def crashes(home: Home, monkeypatch: pytest.MonkeyPatch, *, back: bool) -> Iterator[str]:
    """Yields every place at which the process can end, each from the same start; ends with the run that isn't
    interrupted."""
    start = picture(home)
    for at in range(1, 20):
        for after in (False, True):
            for path in home.path.rglob("*"):
                if path.is_file() and str(path.relative_to(home.path)) not in start:
                    path.unlink()
            for name, content in start.items():
                (home.path / name).parent.mkdir(parents=True, exist_ok=True)
                (home.path / name).write_bytes(content)
            with monkeypatch.context() as limited:
                ends_at(limited, at, after=after)
                try:
                    carry_out(home, back=back, audit=lambda _: None)
                except Crash:
                    pass
                else:
                    assert at > 4, "too few changes to have tested anything"
                    return
            yield f"{'after' if after else 'before'} change {at}"
    raise AssertionError("it never ends")


def assert_safe(home: Home, where: str) -> None:
    """Checks that neither release starts a home between two formats as its own."""
    marked = "[home]" in home.config.read_text()
    written = (home.path / "format.json").exists()
    assert marked or not written, f"{where}: the release before would start a home of the new format"
    refused = refusal(home)
    assert refused in (None, "home-older", "upgrade-unfinished"), where
    assert refused is not None or (marked and written), where


def refusal(home: Home) -> str | None:
    try:
        homeformat.require_current(home.path)
    except HomeError as error:
        return error.code
    return None


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("then_back", [False, True])
def test_an_interrupted_upgrade_can_be_continued_or_taken_back(
    home: Home, monkeypatch: pytest.MonkeyPatch, back: bool, then_back: bool
) -> None:
    kept = untouched(home)
    if back:
        carry_out(home, back=False, audit=lambda _: None)
    for where in crashes(home, monkeypatch, back=back):
        assert_safe(home, where)
        carry_out(home, back=then_back, audit=lambda _: None)
        found = homeformat.look(home.path)
        assert not found.unfinished, where
        assert found.format == (1 if then_back else homeformat.FORMAT), where
        assert (home.config.read_text() == FORMER) is then_back, where
        assert untouched(home) == kept, where
