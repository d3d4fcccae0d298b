"""`keys rotate` on files: any passphrase, the backup key, and the storage key of a stopped home; interrupted at every
step."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.access.passphrases import find_passphrase
from rustorium.client import Key
from rustorium.home import passphrases
from rustorium.home.keys import open_storage_key
from rustorium.home.paths import Home

ENVIRONMENT: dict[str, str] = {}
FIRST = b"correct horse"


def secret(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text + "\n")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home's key files, and the passphrase beside them."""
    folder = tmp_path / "home"
    (folder / "retired" / "aa").mkdir(parents=True)
    secret(folder / "passphrase", FIRST.decode())
    for name, kind in (("node.key", "node"), ("validator.key", "validator"), ("retired/aa/validator.key", "validator")):
        _native.seal_key(str(folder / name), _native.generate_seed(), kind, FIRST, True)
    _native.StorageKey.create(str(folder / "storage.key"), FIRST, True)
    _native.new_backup_key(str(folder / "backup.key"), FIRST)
    (folder / "config.toml").write_text("")
    (folder / "genesis.json").write_text("{}")
    return folder


FILES = ("backup.key", "node.key", "retired/aa/validator.key", "storage.key", "validator.key")


def opens(path: Path) -> bool:
    """Returns true if a key file opens with the passphrase that is found for it."""
    return _native.key_opens(str(path), find_passphrase(path, None, ENVIRONMENT))


def test_a_home_gets_another_passphrase_and_keeps_its_keys(cli: Cli, home: Path) -> None:
    before = {name: json.loads((home / name).read_bytes()) for name in FILES}
    ended = cli("keys", "rotate", "passphrase", "--home", home, "-o", "json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert said["kept_in"] == str(home / "passphrase")
    assert [str(Path(file).relative_to(home)) for file in said["key_files"]] == list(FILES)
    drawn = (home / "passphrase").read_text().strip()
    assert len(drawn) == 32
    assert drawn.encode() != FIRST
    for name, was in before.items():
        assert opens(home / name)
        assert not _native.key_opens(str(home / name), FIRST)
        now = json.loads((home / name).read_bytes())
        assert (now["kind"], now.get("public")) == (was["kind"], was.get("public"))
        assert (home / name).stat().st_mode & 0o777 == 0o600
    assert not list(home.glob("**/.*")), "nothing unfinished stays"


def ordered(home: Path) -> list[dict[str, object]]:
    """Returns the fields of the audit log's lines about a passphrase."""
    log = home / "audit" / "audit.jsonl"
    lines = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
    return [line["fields"] for line in lines if line["event"] == "passphrase replacement ordered"]


def test_a_change_of_passphrase_is_in_the_audit_log_and_a_refused_one_is_not(
    cli: Cli, home: Path, tmp_path: Path
) -> None:
    _native.seal_key(str(home / "stray"), _native.generate_seed(), "account:0", b"another", True)
    assert cli("keys", "rotate", "passphrase", "--home", home).code == 1
    assert ordered(home) == []
    (home / "stray").unlink()
    assert cli("keys", "rotate", "passphrase", "--home", home).code == 0
    assert ordered(home) == [{"by": "operator", "key_files": len(FILES)}]
    # A single file of the home: its node's own key, which signs the line with the passphrase that it still has.
    new = secret(tmp_path / "new", "battery staple")
    line = ("keys", "rotate", "passphrase", "--key", home / "node.key", "--new-passphrase-file", new)
    assert cli(*line).code == 0
    assert [fields["key_files"] for fields in ordered(home)] == [len(FILES), 1]
    public = json.loads((home / "node.key").read_text())["public"]
    assert cli("audit", "verify", home / "audit" / "audit.jsonl", "--node-key", public).code == 0


class Cut(Exception):
    """The process ends here."""


@pytest.mark.parametrize("kept", ["beside", "above"])
def test_an_interrupted_change_of_passphrase_is_continued(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    if kept == "above":
        (home / "passphrase").rename(home.parent / "passphrase")
    # A passphrase in the folder above the home isn't found for keys in the home's folders.
    files = FILES if kept == "beside" else tuple(name for name in FILES if not name.startswith("retired"))
    steps = ("replace_file", "_put")

    def cut_before(number: int) -> Callable[[], None]:
        calls = 0

        def count() -> None:
            nonlocal calls
            calls += 1
            if calls > number:
                raise Cut

        return count

    for number in range(len(FILES) + 3):
        count = cut_before(number)

        def counted(work: Callable[..., object], count: Callable[[], None] = count) -> Callable[..., object]:
            def run(*arguments: object) -> object:
                count()
                return work(*arguments)

            return run

        with monkeypatch.context() as patched:
            patched.setattr(_native, "reseal_key", counted(_native.reseal_key))
            for name in steps:
                patched.setattr(passphrases, name, counted(getattr(passphrases, name)))
            opener = passphrases.Opener(None, None, ENVIRONMENT)
            try:
                passphrases.rotate_folder(home, opener, lambda done, total: None)
                ended = True
            except Cut:
                ended = False
        assert all(opens(home / name) for name in files), f"cut before step {number}: a start finds each passphrase"
    assert ended
    ended_again = cli("keys", "rotate", "passphrase", "--home", home)
    assert ended_again.code == 0, ended_again.err
    assert not (home / "passphrase.new").exists()
    assert all(opens(home / name) for name in FILES)
    if kept == "above":
        assert (home.parent / "passphrase").read_bytes() == FIRST + b"\n", "others may be opened by that one"


def test_a_change_that_was_begun_with_one_passphrase_does_not_end_with_another(cli: Cli, home: Path) -> None:
    secret(home / "passphrase.new", "b" * 32)
    other = secret(home.parent / "other", "other")
    line = ("keys", "rotate", "passphrase", "--home", home)
    cli(*line, "--new-passphrase-file", other).fails(2, "was begun", "without --new-passphrase-file")
    assert cli(*line).code == 0
    assert (home / "passphrase").read_bytes() == b"b" * 32 + b"\n"


def test_a_key_of_another_passphrase_changes_nothing(cli: Cli, home: Path) -> None:
    _native.seal_key(str(home / "stray"), _native.generate_seed(), "account:0", b"another", True)
    before = {name: (home / name).read_bytes() for name in (*FILES, "stray")}
    cli("keys", "rotate", "passphrase", "--home", home).fails(1, "stray", "nothing was changed", "wrong-passphrase")
    assert {name: (home / name).read_bytes() for name in before} == before
    assert all(opens(home / name) for name in FILES)


def test_one_file_of_an_account_and_a_folder_of_an_owner(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    new = secret(tmp_path / "new", "battery staple")
    file = tmp_path / "account.key"
    Key.generate(3).save(file, FIRST)
    address = Key.open(file, passphrase).address
    line = ("keys", "rotate", "passphrase", "--key", file, "--passphrase-file", passphrase)
    cli(*line).fails(2, "--new-passphrase-file")
    for _ in range(2):
        assert cli(*line, "--new-passphrase-file", new).code == 0
    assert Key.open(file, new).address == address
    owner = tmp_path / "owners" / "node-0"
    owner.mkdir(parents=True)
    secret(owner / "passphrase", FIRST.decode())
    _native.seal_key(str(owner / "owner.key"), _native.generate_seed(), "owner", FIRST, True)
    assert cli("keys", "rotate", "passphrase", "--key", owner).code == 0
    assert opens(owner / "owner.key")
    assert (owner / "passphrase").read_bytes() != FIRST + b"\n"
    # To a passphrase of the owner's, which is stored where the first one was.
    assert cli("keys", "rotate", "passphrase", "--key", owner, "--new-passphrase-file", new).code == 0
    assert (owner / "passphrase").read_bytes() == b"battery staple\n"
    assert opens(owner / "owner.key")
    cli("keys", "rotate", "passphrase", "--key", tmp_path / "none").fails(3, "there is no folder")


def test_a_passphrase_file_outside_the_home_is_not_changed(
    cli: Cli, home: Path, tmp_path: Path, passphrase: Path
) -> None:
    (home / "passphrase").unlink()
    (home / "backup.key").unlink()
    line = ("keys", "rotate", "passphrase", "--home", home, "--passphrase-file", passphrase)
    cli(*line).fails(2, "--new-passphrase-file")
    new = secret(tmp_path / "new", "battery staple")
    # An earlier call was interrupted after one file.
    _native.reseal_key(str(home / "node.key"), FIRST, b"battery staple")
    assert cli(*line, "--new-passphrase-file", new).code == 0
    assert passphrase.read_bytes() == FIRST + b"\n"
    assert not (home / "passphrase").exists()
    assert all(_native.key_opens(str(home / name), b"battery staple") for name in FILES[1:])


def test_the_backup_key_is_replaced_and_the_one_before_kept_until_it_is_discarded(cli: Cli, home: Path) -> None:
    first = (home / "backup.key").read_bytes()
    ended = cli("keys", "rotate", "backup", "--home", home, "-o", "json")
    assert json.loads(ended.out) == {"key": str(home / "backup.key"), "key_before": str(home / "backup.key.old")}
    assert "Keep a copy" in ended.err
    assert (home / "backup.key.old").read_bytes() == first != (home / "backup.key").read_bytes()
    assert opens(home / "backup.key")
    cli("keys", "rotate", "backup", "--home", home).fails(
        1, "backup.key.old still has the previous key", "--discard-old"
    )
    # A change of passphrase also seals the previous key again.
    assert cli("keys", "rotate", "passphrase", "--home", home).code == 0
    assert opens(home / "backup.key.old")
    discarded = cli("keys", "rotate", "backup", "--home", home, "--discard-old", "-o", "json")
    assert json.loads(discarded.out)["discarded"] == str(home / "backup.key.old")
    assert not (home / "backup.key.old").exists()
    assert cli("keys", "rotate", "backup", "--home", home).code == 0
    (home / "backup.key").unlink()
    cli("keys", "rotate", "backup", "--home", home).fails(3, "there is no backup key")


def test_a_stopped_home_gets_another_storage_key_which_its_next_start_takes_over(cli: Cli, home: Path) -> None:
    (home / "db").mkdir()
    first = (home / "storage.key").read_bytes()
    line = ("keys", "rotate", "master", "--home", home)
    ended = cli(*line, "-o", "json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["state"] == "begun"
    assert (home / "storage.key.old").read_bytes() == first != (home / "storage.key").read_bytes()
    assert open_storage_key(home / "storage.key", None, ENVIRONMENT).replacing
    cli(*line).fails(1, "storage.key.old still has the previous key", "let the node finish", "rotation-running")
    # A change of passphrase in the middle of a replacement seals both keys again.
    assert cli("keys", "rotate", "passphrase", "--home", home).code == 0
    assert open_storage_key(Home(home).storage_key, None, ENVIRONMENT).replacing
    (home / "rekey").mkdir()
    cli(*line).fails(1, "validator key", "replace-key")
