//! The creation of a backup from a home and a copy of its store: it uploads the missing pieces, and the manifest last.
//!
//! *Invariants:* only the files named here are ever read: no journal, no passphrase, no log; a piece that is complete
//! at the destination is not written again; the manifest is written after every piece.

use crate::Backups;
use crate::chain::vouched;
use crate::error::BackupError;
use crate::manifest::{
    BackupId, EPOCHS, Manifest, PIECE_BYTES, PIECES, PieceName, ShardHeights, StoredFile, path_of, piece_object,
};
use crate::work::in_parallel;
use parking_lot::Mutex;
use rustorium_crypto::seal::{AtRest, BACKUP_OVERHEAD};
use rustorium_storage::{RocksStore, StoreConfig, audit};
use rustorium_types::{EpochTransition, Height, PublicKey, ShardId, encode};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Files of a home that are backed up whole, if they exist. The keys among them are sealed by a passphrase.
/// `storage.key.old` exists while the storage key is being replaced; the store's copy may need either key.
const HOME_FILES: [&str; 7] =
    ["format.json", "config.toml", "genesis.json", "node.key", "validator.key", "storage.key", "storage.key.old"];
const AUDIT: &str = "audit";
/// The store's folder in a home.
pub(crate) const STORE: &str = "db";
/// Files beside the store's that belong to the process which has it open.
const NOT_THE_STORES: [&str; 3] = ["LOCK", "LOG", "IDENTITY"];

/// The home to be backed up.
#[derive(Clone, Debug)]
pub struct Home {
    /// The home's folder.
    pub folder: PathBuf,
    /// Copies of its shards' stores, which no other process uses (`RocksStore::checkpoint`). The root shard's is among
    /// them.
    pub stores: BTreeMap<ShardId, PathBuf>,
    /// The node's name.
    pub node: String,
    /// The node's key.
    pub node_key: PublicKey,
    /// True if the node should vote.
    pub validator: bool,
    /// The version of this program.
    pub program: String,
}

/// A backup that was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Created {
    /// The backup's name.
    pub id: BackupId,
    /// The newest height that the backup can be restored to: the one that its certificate proves.
    pub height: Height,
    /// The oldest height that the backup can be restored to.
    pub from_height: Height,
    /// Bytes of all files of the backup.
    pub bytes: u64,
    /// Bytes that were newly uploaded.
    pub new_bytes: u64,
    /// Number of pieces that were newly uploaded.
    pub new_pieces: u64,
    /// The other shards that the backup has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardHeights>,
}

/// A file to be stored: from the disk, or created in memory.
struct Source {
    path: String,
    bytes: u64,
    contents: Contents,
}

enum Contents {
    Disk(File, PathBuf),
    Memory(Vec<u8>),
}

impl Source {
    fn of_file(path: String, place: &Path, bytes: Option<u64>) -> Result<Self, BackupError> {
        let failed = BackupError::io("read", place);
        let file = File::open(place).map_err(&failed)?;
        let bytes = bytes.map_or_else(|| file.metadata().map(|found| found.len()), Ok).map_err(&failed)?;
        Ok(Self { path, bytes, contents: Contents::Disk(file, place.to_owned()) })
    }

    fn piece(&self, at: u64) -> Result<Vec<u8>, BackupError> {
        let offset = at * PIECE_BYTES as u64;
        let bytes = (self.bytes - offset).min(PIECE_BYTES as u64) as usize;
        match &self.contents {
            Contents::Memory(contents) => Ok(contents.iter().skip(offset as usize).take(bytes).copied().collect()),
            Contents::Disk(file, path) => {
                let mut piece = vec![0; bytes];
                file.read_exact_at(&mut piece, offset).map_err(BackupError::io("read", path))?;
                Ok(piece)
            }
        }
    }
}

impl Backups {
    /// Creates a backup. `at_rest` opens the copies of the stores. Errors: the destination has another home's backups, no
    /// height is certified yet, the destination fails, the disk fails. The next call uses the pieces that were uploaded
    /// by then.
    pub fn create(&self, home: &Home, at_rest: &AtRest) -> Result<Created, BackupError> {
        self.work.begin("looking", 0);
        let manifests = self.manifests()?;
        for manifest in manifests.values().flatten() {
            if (manifest.chain, manifest.node_key) != (at_rest.chain(), home.node_key) {
                let (place, node) = (self.place.shown(), manifest.node.clone());
                return Err(BackupError::OtherHome { place, node });
            }
        }
        self.place.clear_unfinished()?;
        let (mut ranges, mut changes) = (BTreeMap::new(), BTreeMap::new());
        for (shard, store) in &home.stores {
            let store = RocksStore::open_to_read(store, &StoreConfig::default(), at_rest)?;
            let (range, ends) = vouched(&store)?;
            ranges.insert(*shard, range);
            changes.insert(*shard, ends);
        }
        let root = ranges.remove(&ShardId::ROOT).ok_or(BackupError::NothingProven)?;
        let sources = sources(home, &changes)?;
        let known = self.place.list(PIECES)?;
        let (files, new_pieces, new_bytes) = self.store_pieces(&sources, &known)?;
        let manifest = Manifest {
            chain: at_rest.chain(),
            node_key: home.node_key,
            node: home.node.clone(),
            validator: home.validator,
            program: home.program.clone(),
            made_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64),
            root,
            files,
            others: ranges,
        };
        let id = BackupId::draw()?;
        self.put_manifest(&id, &manifest)?;
        // A lost backup is reported missing for as long as the head names it. Only `retain` removes names.
        self.put_head(manifests.keys().copied().chain([id]).collect())?;
        let bytes = manifest.files.iter().map(|file| file.bytes).sum();
        let (height, from_height) = (manifest.root.newest, manifest.root.oldest);
        Ok(Created { id, height, from_height, bytes, new_bytes, new_pieces, shards: manifest.other_heights() })
    }

    /// Uploads the pieces that aren't known. Returns the files for the manifest, and how many pieces and bytes were
    /// new.
    fn store_pieces(
        &self,
        sources: &[Source],
        known: &BTreeMap<String, u64>,
    ) -> Result<(Vec<StoredFile>, u64, u64), BackupError> {
        self.work.begin("uploading", sources.iter().map(|source| source.bytes).sum());
        let pieces = |source: &Source| source.bytes.div_ceil(PIECE_BYTES as u64);
        let all = sources.iter().enumerate().flat_map(|(file, source)| (0..pieces(source)).map(move |at| (file, at)));
        let named: Mutex<BTreeMap<(usize, u64), PieceName>> = Mutex::default();
        let fresh: Mutex<BTreeMap<PieceName, u64>> = Mutex::default();
        in_parallel(all, |(file, at)| {
            let contents = sources[file].piece(at)?;
            let (name, bytes) = (self.key.name_of(&contents), contents.len() as u64);
            named.lock().insert((file, at), name);
            let there = known.get(&piece_object(&name)) == Some(&(bytes + BACKUP_OVERHEAD as u64));
            if !there && fresh.lock().insert(name, bytes).is_none() {
                self.put_piece(&name, &contents)?;
            }
            self.work.advance(bytes)
        })?;
        let named = named.into_inner();
        let stored = |(file, source): (usize, &Source)| StoredFile {
            path: source.path.clone(),
            bytes: source.bytes,
            pieces: named.range((file, 0)..(file + 1, 0)).map(|(_, name)| *name).collect(),
        };
        let fresh = fresh.into_inner();
        Ok((sources.iter().enumerate().map(stored).collect(), fresh.len() as u64, fresh.values().sum()))
    }
}

/// Returns all files of a backup.
fn sources(home: &Home, changes: &BTreeMap<ShardId, Vec<EpochTransition>>) -> Result<Vec<Source>, BackupError> {
    let mut sources = Vec::new();
    for name in HOME_FILES {
        let place = home.folder.join(name);
        if place.exists() {
            sources.push(Source::of_file(name.to_owned(), &place, None)?);
        }
    }
    let log = home.folder.join(AUDIT).join(audit::FILE_NAME);
    if log.exists() {
        let bytes = whole_lines(&log).map_err(BackupError::io("read", &log))?;
        sources.push(Source::of_file(format!("{AUDIT}/{}", audit::FILE_NAME), &log, Some(bytes))?);
    }
    for (shard, store) in &home.stores {
        add_store(&mut sources, *shard, store)?;
    }
    for (shard, ends) in changes {
        let contents = encode(ends);
        let (path, bytes) = (path_of(*shard, EPOCHS), contents.len() as u64);
        sources.push(Source { path, bytes, contents: Contents::Memory(contents) });
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn add_store(sources: &mut Vec<Source>, shard: ShardId, store: &Path) -> Result<(), BackupError> {
    let failed = BackupError::io("read", store);
    for entry in fs::read_dir(store).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().map_err(&failed)?.is_file();
        if is_file && !NOT_THE_STORES.iter().any(|not| name.starts_with(not)) {
            let path = path_of(shard, &format!("{STORE}/{name}"));
            sources.push(Source::of_file(path, &entry.path(), None)?);
        }
    }
    Ok(())
}

/// Returns the bytes of a log up to the end of its last line: its node may be writing the next.
fn whole_lines(path: &Path) -> std::io::Result<u64> {
    let (mut reader, mut line, mut whole) = (BufReader::new(File::open(path)?), Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.ends_with(b"\n") {
            whole += line.len() as u64;
        }
        line.clear();
    }
    Ok(whole)
}
