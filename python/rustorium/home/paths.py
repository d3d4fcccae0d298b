"""A node's home folder on disk: the paths of its files, and functions that find and make one.

Invariants: SYNC; a home is never overwritten; a newer release's home is refused before it is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rustorium.access.genesis import read_genesis
from rustorium.access.private import make_folder, read_text, write_private
from rustorium.config import Config, HomeSection, Loaded, load, render
from rustorium.errors import HomeError, HomeMissing
from rustorium.home import format as homeformat

SEEDS_MAX = 16
"""Maximum number of nodes outside the genesis that a node dials, as in the transport."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home. They need not exist."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def genesis(self) -> Path:
        return self.path / "genesis.json"

    @property
    def party(self) -> Path:
        """What `genesis new` needs of this validator, as `init -o json` printed it. It has no secret."""
        return self.path / "validator.json"

    @property
    def node_key(self) -> Path:
        return self.path / "node.key"

    @property
    def validator_key(self) -> Path:
        return self.path / "validator.key"

    @property
    def storage_key(self) -> Path:
        return self.path / "storage.key"

    @property
    def storage_key_before(self) -> Path:
        """The previous storage key, while its data is being encrypted again."""
        return self.path / "storage.key.old"

    @property
    def db(self) -> Path:
        """The store, which can be filled again from peers."""
        return self.path / "db"

    def db_of(self, shard: int) -> Path:
        """Returns the store of a hosted shard. The root shard has that of a home without shards."""
        return self.db if shard == 0 else self.path / "shards" / str(shard) / "db"

    def shards(self) -> list[int]:
        """Returns the numbers of the shards that the home has data of, the root's first. A store may be missing."""
        return [0, *self.other_shards()]

    def copy_of(self, shard: int) -> Path:
        """Returns the folder of a shard's copied store, while a backup is made."""
        return self.db_of(shard).with_name("checkpoint")

    def other_shards(self) -> list[int]:
        """Returns the numbers of the shards, besides the root's, that the home has data of."""
        folder = self.path / "shards"
        found = folder.iterdir() if folder.is_dir() else iter(())
        return sorted(int(one.name) for one in found if one.name.isdecimal())

    @property
    def quarantine(self) -> Path:
        """Stores that were moved aside."""
        return self.path / "quarantine"

    @property
    def recovery(self) -> Path:
        """State of `recover auto`."""
        return self.path / "run" / "recovery.json"

    @property
    def ended(self) -> Path:
        """Error with which the node ended, if it failed."""
        return self.path / "run" / "ended.json"

    @property
    def retired(self) -> Path:
        """Files of former validator keys, in a folder for each."""
        return self.path / "retired"

    @property
    def lock(self) -> Path:
        """Lock file of the process that uses the home."""
        return self.path / "run" / "node.lock"

    @property
    def prune(self) -> Path:
        """If this file exists, the next start keeps `recovery.keep_when_low` heights."""
        return self.path / "run" / "prune"

    @property
    def pace(self) -> Path:
        """Network delays of the last hour."""
        return self.path / "run" / "pace.json"

    @property
    def safety(self) -> Path:
        """The folder of the validator key's safety journal."""
        return self.path / "safety"

    def safety_of(self, shard: int) -> Path:
        """Returns the folder of a shard's safety journal."""
        return self.db_of(shard).with_name("safety")

    @property
    def rekey(self) -> Path:
        """The next validator key and journal, while they are being replaced."""
        return self.path / "rekey"

    @property
    def key_change_begun(self) -> bool:
        """`True` if the old validator key has been moved away for good."""
        return (self.rekey / "old" / "validator.key").exists()

    def restart_of(self, shard: int) -> Path:
        """Returns the record that the validator's owner has signed an epoch's end of a shard (R33) which is not in the
        shard's store yet."""
        return self.db_of(shard).with_name("restart.json")

    @property
    def admin_socket(self) -> Path:
        return self.path / "run" / "admin.sock"

    @property
    def tokens(self) -> Path:
        """Hashes of the tokens that the node accepts."""
        return self.path / "tokens.json"

    @property
    def followers(self) -> Path:
        """Node keys that may follow, in addition to those in `config.toml`."""
        return self.path / "followers.json"

    @property
    def backups(self) -> Path:
        """The newest backup at each destination."""
        return self.path / "backups.json"

    @property
    def input_log(self) -> Path:
        return self.path / "log" / "inputs"

    def input_log_of(self, shard: int) -> Path:
        """Returns the folder of the log of a hosted shard's core. The root shard has that of a home without shards."""
        return self.input_log if shard == 0 else self.path / "shards" / str(shard) / "log" / "inputs"

    def load_config(
        self, environment: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> Loaded:
        """Reads `config.toml`. Errors: HomeMissing, HomeError if a newer release wrote the home, ConfigError."""
        # A newer release's keys are unknown here: refuse the home instead of suggesting the nearest known key.
        homeformat.refuse_newer(self.path)
        if not self.config.exists():
            advice = (
                f"name another --home, make one with `rustorium-node init --home {self.path}`, or restore it with "
                "`rustorium-node backup restore`"
            )
            raise HomeMissing(f"there is no {self.config}: {advice}")
        return load(read_text(self.config), environment, flags, source=str(self.config))

    def signer_key(self) -> str:
        """Returns the validator's public key in hex if a signer process has it, otherwise "". Errors: as
        `load_config`."""
        config = self.load_config().config
        return config.signer.key.lower() if config.signer.url and config.node.role == "validator" else ""

    def genesis_bytes(self) -> bytes:
        """Returns the genesis' canonical bytes. Errors: HomeMissing, HomeError."""
        return read_genesis(self.genesis)

    def create(self, config: Config, genesis_json: str | None) -> None:
        """Makes folders, `config.toml`, `format.json` and, if given, `genesis.json`. Errors: HomeError if files exist,
        or the genesis is invalid."""
        from rustorium import _native

        if self.path.exists() and any(self.path.iterdir()):
            raise HomeError(
                f"{self.path} is not empty: choose another --home, or remove it if nothing in it is needed",
                code="home-exists",
            )
        make_folder(self.path)
        try:
            (self.path / "safety").mkdir(mode=0o700)  # of two processes that make the home, one makes this folder
        except FileExistsError:
            raise HomeError(f"another process makes {self.path}: choose another --home", code="home-exists") from None
        except OSError as error:
            raise HomeError(f"{self.safety} can't be made ({error.strerror}): choose another place") from None
        for name in ("db", "audit", "log", "run"):
            make_folder(self.path / name)
        write_private(self.config, render(replace(config, home=HomeSection(homeformat.FORMAT))))
        if genesis_json is not None:
            write_private(self.genesis, genesis_json)
        chain = _native.genesis_hash(self.genesis_bytes()) if genesis_json is not None else None
        homeformat.record(self.path, chain)


def default_home(environment: Mapping[str, str]) -> Path | None:
    """Returns RUSTORIUM_HOME, or the only home under `~/.rustorium`; `None` if there isn't exactly one."""
    if home := environment.get("RUSTORIUM_HOME"):
        return Path(home)
    root = Path.home() / ".rustorium"
    homes = [entry for entry in root.iterdir() if (entry / "config.toml").exists()] if root.is_dir() else []
    return homes[0] if len(homes) == 1 else None
