//! Restoring a home from a backup: into a folder beside it, which is checked and put in place last.
//!
//! *Invariants:* the home appears only after everything in it was checked and is on disk; no existing file is
//! overwritten; a restored validator's key is retired before there is a home that could be started.

use crate::Backups;
use crate::chain::{check_certificate, check_chain, read_genesis, unproven};
use crate::create::STORE;
use crate::error::BackupError;
use crate::manifest::{
    BackupId, CertifiedRange, EPOCHS, Fault, Manifest, Opened, StoredFile, bytes_of, path_of, piece_object,
};
use crate::state::{StateProofKind, check_state};
use crate::work::{Work, in_parallel};
use rustix::fs::FlockOperation;
use rustorium_crypto::seal::AtRest;
use rustorium_stages::NodeError;
use rustorium_stages::tables::open_tables;
use rustorium_state::tables::Tables;
use rustorium_storage::{Durability, Journal, RocksStore, Store, StoreConfig, retired};
use rustorium_types::{Height, ShardId, limits};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Name of the file that marks a restore's folder, which may be emptied.
const MARKER: &str = "restoring";
const SAFETY: &str = "safety";
/// Further folders of a home.
const FOLDERS: [&str; 4] = [SAFETY, "audit", "log", "run"];

/// A home that is being restored, in a folder of its own that is locked for as long as this lives.
pub struct Restoring {
    home: PathBuf,
    folder: PathBuf,
    id: BackupId,
    manifest: Manifest,
    epochs: BTreeMap<ShardId, Vec<u8>>,
    height: Height,
    work: Arc<Work>,
    _lock: File,
}

/// A restored home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Restored {
    /// The backup.
    pub id: BackupId,
    /// The height of the restored state.
    pub height: Height,
    /// The height of the certificate that proves it.
    pub certified_by: Height,
    /// The kind of proof for the state.
    pub state: StateProofKind,
    /// True if the home is a validator's. Its key is retired now.
    pub key_retired: bool,
    /// The other shards that were restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<RestoredShard>,
}

/// A restored shard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RestoredShard {
    /// The shard.
    pub shard: ShardId,
    /// The height of the restored state.
    pub height: Height,
    /// The height of the certificate that proves it.
    pub certified_by: Height,
    /// The kind of proof for the state.
    pub state: StateProofKind,
}

impl Backups {
    /// Fetches the files of a backup to a folder beside the home. It takes the named backup, or the best one for the
    /// height, or the newest. Errors: there is something at the home, there is no such backup, an object is damaged.
    pub fn fetch(
        &self,
        home: &Path,
        height: Option<Height>,
        backup: Option<BackupId>,
    ) -> Result<Restoring, BackupError> {
        self.work.begin("looking", 0);
        let (id, manifest) = self.choose(height, backup)?;
        if height.is_some() && !manifest.others.is_empty() {
            return Err(BackupError::HeightOfShards(id));
        }
        let (folder, lock) = stage(home)?;
        let ends: BTreeSet<String> = manifest.shards().map(|(shard, _)| path_of(shard, EPOCHS)).collect();
        let files: Vec<&StoredFile> = manifest.files.iter().filter(|file| !ends.contains(&file.path)).collect();
        self.work.begin("fetching", bytes_of(files.iter().copied()));
        let opened = files.iter().map(|file| open_new(&folder, file)).collect::<Result<Vec<_>, _>>()?;
        let pieces = files.iter().zip(&opened).flat_map(|(file, opened)| {
            let mut offset = 0;
            file.sized().into_iter().flatten().map(move |(name, bytes)| {
                let at = offset;
                offset += bytes;
                (opened, name, at, bytes)
            })
        });
        in_parallel(pieces, |((path, file), name, at, bytes)| {
            let piece =
                self.piece(name, bytes)?.map_err(|fault| self.damaged(piece_object(name), fault.to_string()))?;
            file.write_all_at(&piece, at).map_err(BackupError::io("written", path))?;
            self.work.advance(bytes)
        })?;
        for (path, file) in &opened {
            file.sync_all().map_err(BackupError::io("written", path))?;
        }
        let mut epochs = BTreeMap::new();
        for (shard, _) in manifest.shards() {
            let path = path_of(shard, EPOCHS);
            let found = self.small_file(&manifest, &path)?;
            epochs.insert(shard, found.map_err(|fault| self.damaged(path, fault.to_string()))?);
        }
        let height = height.unwrap_or(manifest.root.newest);
        let (home, work) = (home.to_owned(), self.work.clone());
        Ok(Restoring { home, folder, id, manifest, epochs, height, work, _lock: lock })
    }

    fn damaged(&self, object: String, what: String) -> BackupError {
        BackupError::Damaged { place: self.place.shown(), object, what }
    }

    fn choose(&self, height: Option<Height>, backup: Option<BackupId>) -> Result<(BackupId, Manifest), BackupError> {
        let manifests = self.manifests()?;
        let place = self.place.shown();
        if manifests.is_empty() {
            return Err(BackupError::Empty(place));
        }
        let good = || manifests.iter().filter_map(|(id, manifest)| Some((id, manifest.as_ref().ok()?)));
        let reaches = |root: &CertifiedRange| height.is_none_or(|height| (root.oldest..=root.newest).contains(&height));
        let fits =
            good().filter(|(id, manifest)| backup.is_none_or(|wanted| wanted == **id) && reaches(&manifest.root));
        // For a given height, take the backup that needs the least rollback; otherwise the newest.
        let chosen = match height {
            Some(_) => fits.min_by_key(|(id, manifest)| (manifest.root.newest, manifest.made_ms, **id)),
            None => fits.max_by_key(|(id, manifest)| (manifest.root.newest, manifest.made_ms, **id)),
        };
        if let Some((id, manifest)) = chosen {
            return Ok((*id, manifest.clone()));
        }
        let mut asked = manifests.iter().filter(|(id, _)| backup.is_none_or(|wanted| wanted == **id));
        if let Some((id, found)) = asked.find_map(|(id, manifest)| Some((id, other_format(manifest)?))) {
            return Err(BackupError::Format { id: id.to_string(), found });
        }
        if let Some(id) = backup
            && good().all(|(found, _)| *found != id)
        {
            let what = if manifests.contains_key(&id) { "it can't be read" } else { "there is no such backup" };
            return Err(self.damaged(id.to_string(), what.to_owned()));
        }
        let ranges = good().map(|(_, manifest)| format!("{} to {}", manifest.root.oldest, manifest.root.newest));
        let kept = ranges.collect::<Vec<_>>().join(", ");
        let kept = if kept.is_empty() { "none that can be read".to_owned() } else { kept };
        Err(BackupError::NoSuchHeight { place, height: height.unwrap_or_default(), kept })
    }
}

impl Restoring {
    /// Returns the folder of its files until they are put in place.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Checks everything against the certificates, rolls the stores back to their heights, and retires a validator's key.
    /// `at_rest` opens the stores. Errors: data that isn't certified; then there is still no home.
    pub fn prove(&self, at_rest: &AtRest) -> Result<Restored, BackupError> {
        let genesis_file = self.folder.join("genesis.json");
        let genesis = fs::read(&genesis_file).map_err(BackupError::io("read", &genesis_file))?;
        let failed = |error: NodeError| BackupError::Unproven(error.sentence);
        let tables = open_tables(&self.folder).map_err(failed)?;
        let mut shards = Vec::new();
        for (shard, range) in self.manifest.shards() {
            let proven = self.prove_shard(shard, range, &genesis, &tables, at_rest);
            shards.push(proven.map_err(|error| match error {
                BackupError::Unproven(what) if shard != ShardId::ROOT => {
                    BackupError::Unproven(format!("in shard {shard}: {what}"))
                }
                error => error,
            })?);
        }
        let key_retired = self.make_safe(at_rest)?;
        let RestoredShard { height, certified_by, state, .. } = shards.remove(0);
        Ok(Restored { id: self.id, height, certified_by, state, key_retired, shards })
    }

    fn prove_shard(
        &self,
        shard: ShardId,
        range: &CertifiedRange,
        genesis: &[u8],
        tables: &Tables,
        at_rest: &AtRest,
    ) -> Result<RestoredShard, BackupError> {
        let epochs = self.epochs.get(&shard).map(Vec::as_slice).unwrap_or_default();
        check_certificate(self.manifest.chain, shard, range, genesis, epochs).map_err(BackupError::Unproven)?;
        let genesis = read_genesis(genesis).map_err(BackupError::Unproven)?;
        let folder = self.folder.join(path_of(shard, STORE));
        let store = RocksStore::open(&folder, &StoreConfig::default(), at_rest)?;
        let claims = check_chain(&store, &range.header, &self.work)?;
        self.work.begin("taking the store back", 0);
        let height = if shard == ShardId::ROOT { self.height } else { range.newest };
        store.roll_back(height)?;
        if store.tip().map(|tip| tip.height) != Some(height) {
            return Err(unproven(height, "the store ends elsewhere"));
        }
        let state = check_state(&store, (&genesis, shard), &claims, tables, &self.work)?;
        store.sync()?;
        Ok(RestoredShard { shard, height, certified_by: range.header.height, state })
    }

    /// Marks a validator's key as retired. A follower gets empty journals, as at its first start.
    fn make_safe(&self, at_rest: &AtRest) -> Result<bool, BackupError> {
        for name in FOLDERS {
            private_folder(&self.folder.join(name))?;
        }
        let safety = self.folder.join(SAFETY);
        if !self.manifest.validator && !self.folder.join("validator.key").exists() {
            for (shard, _) in self.manifest.shards() {
                let folder = self.folder.join(path_of(shard, SAFETY));
                let made = Journal::open(&folder, Durability::Vote, at_rest, Box::new(|_| {}));
                made.map_err(|error| BackupError::Unproven(error.to_string()))?;
            }
            return Ok(false);
        }
        let reason = format!(
            "this home was restored from the backup {} as of height {}: what its validator key has signed is not known any \
             more, so that it signs nothing more; run `rustorium-node node replace-key`, which gives it a new validator key",
            self.id, self.height
        );
        retired::mark(&safety, &reason).map_err(BackupError::io("written", &safety))?;
        Ok(true)
    }

    /// Puts the home in place. Errors: something appeared there meanwhile.
    pub fn settle(self) -> Result<(), BackupError> {
        let marker = self.folder.join(MARKER);
        fs::remove_file(&marker).map_err(BackupError::io("removed", &marker))?;
        sync_folders(&self.folder)?;
        fs::rename(&self.folder, &self.home).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                BackupError::Exists(self.home.clone())
            }
            _ => BackupError::io("put in place", &self.home)(error),
        })?;
        let parent = parent_of(&self.home);
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(BackupError::io("written", parent))
    }
}

/// Returns the format of a manifest that another release wrote.
fn other_format(manifest: &Opened<Manifest>) -> Option<u32> {
    match manifest {
        Err(Fault::Format(found)) => Some(*found),
        _ => None,
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates an empty folder beside the home, and locks it. The folder of a killed restore is emptied.
fn stage(home: &Path) -> Result<(PathBuf, File), BackupError> {
    let name = home.file_name().ok_or_else(|| BackupError::Exists(home.to_owned()))?;
    if home.symlink_metadata().is_ok() && fs::read_dir(home).map_or(true, |mut entries| entries.next().is_some()) {
        return Err(BackupError::Exists(home.to_owned()));
    }
    let mut staged = name.to_owned();
    staged.push(".restoring");
    let folder = home.with_file_name(staged);
    private_folder(&folder)?;
    let lock = File::open(&folder).map_err(BackupError::io("read", &folder))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(BackupError::Busy(home.to_owned())),
        Err(error) => return Err(BackupError::io("locked", &folder)(error.into())),
    }
    let emptied = folder.clone();
    let failed = BackupError::io("emptied", &emptied);
    let marker = folder.join(MARKER);
    let entries = fs::read_dir(&folder).map_err(&failed)?.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
    if !entries.is_empty() && !marker.is_file() {
        return Err(BackupError::Exists(folder));
    }
    for path in entries.iter().map(fs::DirEntry::path).filter(|path| *path != marker) {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(&failed)?;
    }
    fs::write(&marker, "a restore that is under way or was ended\n").map_err(BackupError::io("written", &marker))?;
    Ok((folder, lock))
}

fn private_folder(path: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(path).map_err(BackupError::io("made", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(BackupError::io("made", path))
}

/// Creates a new file of a home with its full length.
fn open_new(folder: &Path, file: &StoredFile) -> Result<(PathBuf, File), BackupError> {
    let relative = Path::new(&file.path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || file.path.is_empty() || file.sized().is_none() || file.path.len() > limits::NAME_BYTES_MAX * 4 {
        return Err(BackupError::Unproven(format!("{:?} is no file of a home", file.path)));
    }
    let path = folder.join(relative);
    private_folder(parent_of(&path))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let made = made.and_then(|made| made.set_len(file.bytes).map(|()| made));
    Ok((path.clone(), made.map_err(BackupError::io("written", &path))?))
}

/// Syncs a folder and those below it, so that names in them survive a power cut.
fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    let failed = BackupError::io("written", folder);
    for entry in fs::read_dir(folder).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        if entry.file_type().map_err(&failed)?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(&failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn made(folder: &Path, path: &str) -> Result<(PathBuf, File), BackupError> {
        open_new(folder, &StoredFile { path: path.to_owned(), bytes: 0, pieces: Vec::new() })
    }

    #[test]
    fn a_manifest_writes_nowhere_but_into_the_home() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("home");
        for path in ["", "/etc/passwd", "..", "../x", "db/../../x", "./x", "db/..", "a/./../../b"] {
            assert!(matches!(made(&folder, path), Err(BackupError::Unproven(_))), "{path}");
        }
        assert!(fs::read_dir(root.path()).unwrap().next().is_none(), "nothing was made");
        assert!(made(&folder, "db/CURRENT").is_ok());
        assert!(matches!(made(&folder, "db/CURRENT"), Err(BackupError::Io { .. })), "no file is made twice");
    }

    #[test]
    fn a_file_has_as_many_pieces_as_its_bytes_need() {
        let file = |bytes, pieces| StoredFile { path: "x".to_owned(), bytes, pieces: vec![[0; 32]; pieces] };
        let full = crate::manifest::PIECE_BYTES as u64;
        let sizes = |file: &StoredFile| file.sized().map(|sized| sized.map(|(_, bytes)| bytes).collect::<Vec<_>>());
        assert_eq!(sizes(&file(0, 0)), Some(vec![]));
        assert_eq!(sizes(&file(full, 1)), Some(vec![full]));
        assert_eq!(sizes(&file(full + 7, 2)), Some(vec![full, 7]));
        assert_eq!(bytes_of(&[file(u64::MAX, 0), file(1, 1)]), u64::MAX, "sizes that no disk has");
        for (bytes, pieces) in [(0, 1), (1, 0), (full, 2), (full + 1, 1), (u64::MAX, 3)] {
            assert_eq!(sizes(&file(bytes, pieces)), None, "{bytes} {pieces}");
        }
    }
}
