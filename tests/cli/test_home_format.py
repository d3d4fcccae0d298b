"""Every home contains its format. A home of a newer release is refused by name before anything in it is changed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runner import Cli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rustorium import __version__, _native
from rustorium.config import Config
from rustorium.errors import HomeError
from rustorium.home import format as homeformat
from rustorium.home.lock import stopped
from rustorium.home.paths import Home

NEWER = homeformat.FORMAT + 1


def picture(home: Home) -> dict[str, bytes]:
    return {str(path.relative_to(home.path)): path.read_bytes() for path in home.path.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create(Config(), None)
    return home


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def newer_format(home: Home) -> str:
    change(home.path / "format.json", format=NEWER, release="9.9.9", more={"of": "it"})
    return "format.json"


def newer_part(home: Home) -> str:
    change(home.path / "format.json", parts={"store": _native.versions()["store"] + 1})
    return "format.json"


def unheard_part(home: Home) -> str:
    change(home.path / "format.json", parts={"crystal": 1})
    return "format.json"


def newer_config(home: Home) -> str:
    home.config.write_text(f'[home]\nformat = {NEWER}\n[crystal]\nball = "round"\n')
    (home.path / "format.json").unlink()
    return "config.toml"


def newer_upgrade(home: Home) -> str:
    (home.path / "upgrade").mkdir()
    (home.path / homeformat.PENDING).write_text(json.dumps({"from": homeformat.FORMAT, "to": NEWER, "how": "?"}))
    return "pending.json"


def newer_key(home: Home) -> str:
    home.storage_key.touch(0o600)
    home.storage_key.write_text(json.dumps({"version": homeformat.KEY_FILE + 1, "kind": "storage", "lattice": "yes"}))
    return "storage.key"


def test_a_new_home_has_this_format_and_says_who_made_it(home: Home) -> None:
    found = homeformat.require_current(home.path)
    assert found.written == homeformat.FormatContent(
        homeformat.FORMAT, __version__, None, dict(homeformat.FORMATS[homeformat.FORMAT].parts) | {"store": 4}
    )
    assert found.marked == homeformat.FORMAT
    assert (home.path / "format.json").stat().st_mode & 0o777 == 0o600
    assert home.load_config({}).config.home.format == homeformat.FORMAT


def test_a_format_of_a_part_changes_only_with_the_homes_format() -> None:
    """A developer who raises a format's number in Rust must add an entry to `FORMATS` and a migration to `STEPS`."""
    parts = homeformat.FORMATS[homeformat.FORMAT].parts
    versions = _native.versions() | {"key files": homeformat.KEY_FILE}
    assert parts == {name: versions[name] for name in ("store", "safety journal", "store keys", "key files")}
    assert list(homeformat.FORMATS) == list(range(1, homeformat.FORMAT + 1))


@pytest.mark.parametrize(
    "newer", [newer_format, newer_part, unheard_part, newer_config, newer_upgrade, newer_key], ids=lambda f: f.__name__
)
def test_files_of_a_newer_release_are_refused_before_anything_is_written(
    cli: Cli, home: Home, newer: Callable[[Home], str]
) -> None:
    name = newer(home)
    before = picture(home)
    for line in (
        ["start"], ["recover", "auto"], ["recover", "manual", "--dry-run"], ["upgrade"], ["upgrade", "--back"],
        ["config", "show"], ["backup", "create", "--to", str(home.path.parent / "backups")],
        ["node", "replace-key", "--owner-key", "x", "--node", "http://127.0.0.1:1"],
    ):  # fmt: skip
        ended = cli(*line, "--home", home.path)
        ended.fails(1, name, "format", f"this release ({__version__}) knows formats up to", "install", "nothing was")
        assert "[home-newer]" in ended.err
    with pytest.raises(HomeError, match="knows formats up to"), stopped(home):
        pass
    assert picture(home) == before
    if newer is newer_format:
        assert "install release 9.9.9, which wrote it, or a newer one" in cli("start", "--home", home.path).err


def test_doctor_says_what_is_wrong_with_the_format(cli: Cli, home: Home) -> None:
    def said() -> str:
        return cli("doctor", "--home", home.path, "-o", "json").out

    assert f"format {homeformat.FORMAT}, last written by release {__version__}" in said()
    text = home.config.read_text()
    home.config.write_text("")
    assert "config.toml lacks home.format" in said()
    home.config.write_text(text)
    newer_format(home)
    assert f"has format {NEWER}" in said()


def test_an_older_home_and_one_between_two_formats_are_not_started(cli: Cli, home: Home) -> None:
    (home.path / "format.json").unlink()
    between = cli("start", "--home", home.path)
    between.fails(1, "an upgrade of", "has not ended", f"rustorium-node upgrade --home {home.path}", "--back")
    assert "[upgrade-unfinished]" in between.err
    home.config.write_text("")
    older = cli("start", "--home", home.path)
    older.fails(1, "has format 1, that of release 0.1.0", f"rustorium-node upgrade --home {home.path}", "--dry-run")
    assert "[home-older]" in older.err


def test_a_home_is_of_one_chain(home: Home) -> None:
    assert homeformat.record(home.path, "aa" * 32)
    assert not homeformat.record(home.path, "aa" * 32), "nothing new"
    found = homeformat.require_current(home.path)
    homeformat.check_chain(found, home.path, "aa" * 32)
    with pytest.raises(HomeError, match=r"put the genesis of chain a+ there"):
        homeformat.check_chain(found, home.path, "bb" * 32)


def refusal(home: Home) -> HomeError | None:
    try:
        homeformat.require_current(home.path)
    except HomeError as error:
        return error
    return None


NUMBERS = st.one_of(st.integers(), st.floats(), st.text(max_size=4), st.none(), st.booleans(), st.just([]))
OBJECTS = st.dictionaries(st.sampled_from(["format", "release", "chain", "parts", "from", "to", "x"]), NUMBERS)
CONTENTS = st.one_of(st.binary(max_size=64), OBJECTS.map(lambda found: json.dumps(found).encode()))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["format.json", homeformat.PENDING, "config.toml", "node.key"]), content=CONTENTS)
def test_any_bytes_are_read_or_refused_and_left_alone(home: Home, name: str, content: bytes) -> None:
    path = home.path / name
    path.parent.mkdir(exist_ok=True)
    kept = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    before = picture(home)
    refused = refusal(home)
    assert refused is None or refused.code in ("home-newer", "home-older", "upgrade-unfinished", "format-invalid")
    assert refused is None or str(home.path) in refused.message
    assert picture(home) == before
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(kept)


def test_a_damaged_files_error_names_the_command_that_writes_it(cli: Cli, home: Home, passphrase: Path) -> None:
    _native.seal_key(str(home.node_key), _native.generate_seed(), "node", passphrase.read_bytes().strip())
    path = home.path / "format.json"
    path.write_text("{")
    cli("start", "--home", home.path).fails(1, "format.json is damaged", "move it away", "[format-invalid]")
    path.rename(home.path / "aside")
    assert cli("upgrade", "--home", home.path, "--passphrase-file", passphrase).code == 0
    assert homeformat.require_current(home.path).format == homeformat.FORMAT
