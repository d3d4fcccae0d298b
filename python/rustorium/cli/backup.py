"""`backup create`, `list`, `verify`, `restore`, `prune` and `schedule`."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import HomeOption, PassphraseOption, home_of
from rustorium.cli.output import Format, Output, emit, emit_one, note, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rustorium.home.paths import Home
    from rustorium.node.admin.backups import Opener, Place

group = typer.Typer(
    help="Backups of a node's home, in a folder or an S3-compatible store: incremental, encrypted, and "
    "checked against certificates when restored.",
    no_args_is_help=True,
)

_WHERE = "A folder, or s3://BUCKET/PREFIX; credentials come from AWS_* variables."
ToOption = Annotated[str, typer.Option("--to", help=_WHERE)]
FromOption = Annotated[str, typer.Option("--from", help=_WHERE)]
KeyFileOption = Annotated[
    Path | None, typer.Option("--key", help="Key file that encrypts the backups. Default: backup.key of the home.")
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", help="URL of the S3-compatible store. Default: AWS_ENDPOINT_URL, or AWS.")
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="Region of the store. Default: AWS_REGION, or us-east-1.")
]
HttpOption = Annotated[bool, typer.Option("--allow-http", help="Allow plain HTTP in the store's URL.")]
AtLeastOption = Annotated[
    int | None,
    typer.Option(
        "--at-least",
        min=0,
        help="Fail (exit code 4) unless a backup reaches this height. Use a height that you know from elsewhere.",
    ),
]
KeepOption = Annotated[
    int | None, typer.Option("--keep", min=1, help="Afterwards, remove all but this many of the newest backups.")
]


def _home(path: Path | None) -> "Home | None":
    from rustorium.home.paths import default_home

    return home_of(path) if path is not None or default_home(os.environ) is not None else None


def _opener(passphrase_file: Path | None, home: "Home | None" = None) -> "Opener":
    from rustorium.node.admin.backups import Opener

    opener = Opener(passphrase_file, os.environ)
    return opener if home is None else opener.of_home(home)


def _place(destination: str, endpoint: str | None, region: str | None, allow_http: bool) -> "Place":
    from rustorium.node.admin.backups import Place

    named = destination if "://" in destination else str(Path(destination).expanduser().absolute())
    return Place(named, endpoint, region, allow_http)


def _check_folder(destination: str, home: "Home") -> None:
    """Errors: UsageError if a local destination is in the home itself, or the folder around it is missing: the disk may
    not be mounted."""
    from rustorium.errors import UsageError

    if "://" in destination:
        return
    folder = Path(destination)
    if folder.is_relative_to(home.path.absolute()):
        raise UsageError(f"{folder} is in the home that it would keep: name a folder on another disk")
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent}: make it, or mount the disk that it is on")


def _make_key(home: "Home", key: Path | None, opener: "Opener") -> Path:
    from rustorium.node.admin.backups import existing, key_of, make_key

    file = key_of(home, key)
    if key is not None:
        return existing(file)
    if make_key(file, home, opener):
        note(f"Made the backup key {file}. Keep a copy of it off this machine: without it no backup opens.")
    return file


def _refuse_missed(place: "Place", made: "Mapping[str, Any]") -> None:
    """Fails if the destination has lost an earlier backup; the new one was made anyway."""
    from rustorium.node.admin.backup_memory import Newest, rolled_back

    if (missed := made.get("missed")) is not None:
        raise rolled_back(place.destination, Newest(**missed))


@group.command()
def create(
    to: ToOption,
    home: HomeOption = None,
    keep: KeepOption = None,
    key: KeyFileOption = None,
    passphrase_file: PassphraseOption = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    allow_http: HttpOption = False,
    output: Output = Format.table,
) -> None:
    """Back up a home while its node runs or is stopped. Objects that the destination already has are not uploaded
    again."""
    from rustorium.node.admin import backups

    found = home_of(home)
    opener, place = _opener(passphrase_file, found), _place(to, endpoint, region, allow_http)
    _check_folder(place.destination, found)
    file = _make_key(found, key, opener)
    with progress("backup") as advance:
        made = backups.create(found, place, file, opener, advance, keep)
    emit_one(made, output)
    _refuse_missed(place, made)


@group.command("list")
def list_(
    place_: FromOption,
    home: HomeOption = None,
    at_least: AtLeastOption = None,
    key: KeyFileOption = None,
    passphrase_file: PassphraseOption = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    allow_http: HttpOption = False,
    output: Output = Format.table,
) -> None:
    """List the backups, newest last, and show whether each is complete, judged by names and sizes. Exit code 4: the
    newest backup that this home made there is gone."""
    from rustorium.node.admin.backups import key_of, listed

    place = _place(place_, endpoint, region, allow_http)
    found = _home(home)
    rows, older = listed(found, place, key_of(found, key), _opener(passphrase_file, found), at_least)
    emit(rows, output, ["id", "made_ms", "from_height", "height", "node", "bytes", "state"])
    if older is not None:
        raise older


@group.command()
def verify(
    place_: FromOption,
    home: HomeOption = None,
    at_least: AtLeastOption = None,
    key: KeyFileOption = None,
    passphrase_file: PassphraseOption = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    allow_http: HttpOption = False,
    output: Output = Format.table,
) -> None:
    """Read and check every object and each backup's certificate. Name what is damaged or missing (exit code 4),
    including the newest backup that this home made there."""
    from rustorium.node.admin import backups

    place, of = _place(place_, endpoint, region, allow_http), _home(home)
    with progress("verified") as advance:
        key_file, opener = backups.key_of(of, key), _opener(passphrase_file, of)
        found, wrong = backups.verify(of, place, key_file, opener, advance, at_least)
    damaged = found["damaged"]
    if output is Format.table:
        emit_one({**found, "damaged": len(damaged)}, output)
        emit(damaged, output, ["object", "what", "backups", "files"])
    else:
        emit_one(found, output)
    if wrong is not None:
        raise wrong


@group.command()
def restore(
    place_: FromOption,
    home: Annotated[Path, typer.Option("--home", help="Home to make; the path must not exist.")],
    key: Annotated[Path, typer.Option("--key", help="Key file that encrypted the backups.")],
    height: Annotated[
        int | None, typer.Option("--height", min=0, help="Height to restore. Default: the newest certified height.")
    ] = None,
    backup: Annotated[str | None, typer.Option("--backup", help="Id of the backup to restore from.")] = None,
    at_least: AtLeastOption = None,
    passphrase_file: PassphraseOption = None,
    keys_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--keys-passphrase-file",
            help="File (0600) with the passphrase of the keys in the backup, if it was a different one then.",
        ),
    ] = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    allow_http: HttpOption = False,
    output: Output = Format.table,
) -> None:
    """Restore a home as of a height, after checking all of it against the chain's certificates. This retires a
    validator's key."""
    from rustorium.home.format import FORMAT
    from rustorium.home.paths import Home
    from rustorium.node.admin import backups

    place = _place(place_, endpoint, region, allow_http)
    target = Home(home.expanduser().absolute())
    file = backups.key_of(None, key)
    with progress("restored") as advance:
        opener = _opener(passphrase_file)
        made = backups.restore(target, place, file, opener, advance, height, backup, at_least, keys_passphrase_file)
    emit_one(made, output)
    if made["home_format"] != FORMAT:
        note(
            f"This home has the format of an older release. Run `rustorium-node upgrade --home {target.path}` "
            "before you start it."
        )
    if made["key_retired"]:
        note(
            "Its validator key signs nothing more, since nothing tells what it has signed: the node follows the chain. "
            f"Give it a new one with `rustorium-node node replace-key --home {target.path} --owner-key FILE "
            "--node URL`, with the URL of another node."
        )


@group.command()
def prune(
    to: ToOption,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Number of newest backups to keep.")],
    home: HomeOption = None,
    key: KeyFileOption = None,
    passphrase_file: PassphraseOption = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    allow_http: HttpOption = False,
    output: Output = Format.table,
) -> None:
    """Remove all but the newest backups of a home, and every object that the remaining backups do not need."""
    from rustorium.node.admin import backups

    found = home_of(home)
    place = _place(to, endpoint, region, allow_http)
    with progress("removed") as advance:
        gone = backups.retain(found, place, backups.key_of(found, key), _opener(passphrase_file, found), advance, keep)
    emit_one(gone, output)


@group.command()
def schedule(
    to: ToOption,
    home: HomeOption = None,
    every: Annotated[
        str, typer.Option("--every", metavar="<duration>", help="Interval between backups: a number and s, m, h or d.")
    ] = "6h",
    keep: Annotated[int, typer.Option("--keep", min=1, help="Number of newest backups to keep.")] = 14,
    now: Annotated[
        bool, typer.Option("--run", help="Make backups in the foreground until you stop the command.")
    ] = False,
    install: Annotated[
        Path | None,
        typer.Option("--install", help="Write the systemd units to this folder, usually /etc/systemd/system."),
    ] = None,
    user: Annotated[str, typer.Option("--user", help="User that makes the backups.")] = "rustorium",
    command: Annotated[Path | None, typer.Option("--command", help="Path of rustorium-node.")] = None,
    key: KeyFileOption = None,
    passphrase_file: PassphraseOption = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    allow_http: HttpOption = False,
    output: Output = Format.table,
) -> None:
    """Print a systemd service and timer that back up the home and keep the newest backups. Or write them to a folder
    (--install), or make the backups here (--run)."""
    from rustorium.errors import UsageError
    from rustorium.node.admin import backups
    from rustorium.node.admin import schedule as timing
    from rustorium.observe.backupunits import BackupUnits, unit_files

    found = home_of(home)
    place = _place(to, endpoint, region, allow_http)
    every_s = timing.parse_interval(every)
    if now and install is not None:
        raise UsageError("--run makes backups here, and --install leaves them to systemd: give only one of them")
    if now:
        opener = _opener(passphrase_file, found)
        file = _make_key(found, key, opener)

        def once() -> None:
            with progress("backup") as advance:
                made = backups.create(found, place, file, opener, advance, keep)
            emit_one(made, output)
            _refuse_missed(place, made)

        timing.every(every_s, once, note)
        return
    name = found.load_config().config.node.name
    named = command or shutil.which("rustorium-node") or shutil.which(sys.argv[0])
    if named is None or not Path(named).expanduser().is_file():
        raise UsageError("there is no rustorium-node on the PATH: name it with --command")
    flags = ["--key", str(backups.existing(backups.key_of(found, key)))] if key is not None else []
    flags += [
        part for flag, value in (("--endpoint", endpoint), ("--region", region)) if value for part in (flag, value)
    ]
    flags += ["--allow-http"] if allow_http else []
    units = BackupUnits(
        name, found.path, Path(named).expanduser().absolute(), user, place.destination, every_s, keep, tuple(flags)
    )
    for file_name, text in unit_files(units).items():
        if install is None:
            print(f"# {file_name}\n{text}", end="")
        else:
            timing.put(install.expanduser() / file_name, text)
            note(f"wrote {install / file_name}")
