"""Makes one validator's home with new keys (`init`).

Invariants: SYNC; nothing is overwritten; the owner's key lies outside the home.
"""

from collections.abc import Mapping
from pathlib import Path

from rustorium.config import Config, NodeSection
from rustorium.errors import HomeError
from rustorium.home import Home, make_folder, new_passphrase, read_genesis


def init_home(
    path: Path,
    name: str,
    genesis: Path | None,
    owner_key: Path | None,
    passphrase_file: Path | None,
    environment: Mapping[str, str],
) -> dict[str, object]:
    """Makes the home; gives its public keys. Errors: HomeError, KeyFileError."""
    from rustorium import _native

    home = Home(path)
    owner = owner_key or path.with_name(f"{path.name}.owner.key")
    if path.exists() and any(path.iterdir()):
        raise HomeError(
            f"{path} is already initialised or not empty: choose another --home; init never overwrites",
            code="home-exists",
        )
    if owner.exists():
        raise HomeError(f"{owner} exists and is never overwritten: choose another --owner-key", code="file-exists")
    genesis_json = None
    if genesis is not None:
        read_genesis(genesis)
        genesis_json = genesis.read_text(encoding="utf-8")
    passphrase = new_passphrase(passphrase_file, environment)
    home.create(Config(node=NodeSection(name)), genesis_json)
    make_folder(owner.parent)
    public: dict[str, str] = {}
    for kind, file in (("node", home.node_key), ("validator", home.validator_key), ("owner", owner)):
        seed = _native.generate_seed()
        _native.seal_key(str(file), seed, kind, passphrase)
        public[f"{kind}_key"] = _native.public_key(seed).hex()
    _native.StorageKey.create(str(home.storage_key), passphrase)
    return {"name": name, "home": str(path), "genesis": str(home.genesis), "owner_key_file": str(owner), **public}
