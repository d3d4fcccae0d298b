//! The creation of a backup from a home and a copy of its store: it uploads the missing pieces, and the manifest last.
//!
//! *Invariants:* only the files named here are ever read: no journal, no passphrase, no log; a piece that is complete
//! at the destination is not written again; the manifest is written after every piece.

use crate::Backups;
use crate::chain::{CertifiedRange, vouched};
use crate::error::BackupError;
use crate::manifest::{BackupId, EPOCHS, Manifest, PIECE_BYTES, PIECES, PieceName, StoredFile, piece_object};
use crate::work::in_parallel;
use parking_lot::Mutex;
use rustorium_crypto::seal::{AtRest, BACKUP_OVERHEAD};
use rustorium_storage::{RocksStore, StoreConfig, audit};
use rustorium_types::{Height, PublicKey, encode};
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
    /// A copy of its store, which no other process uses (`RocksStore::checkpoint`).
    pub store: PathBuf,
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
    /// Creates a backup. `at_rest` opens the store's copy. Errors: the destination has another home's backups, no
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
        let vouched = {
            let store = RocksStore::open_to_read(&home.store, &StoreConfig::default(), at_rest)?;
            vouched(&store)?
        };
        let sources = sources(home, &vouched)?;
        let known = self.place.list(PIECES)?;
        let (files, new_pieces, new_bytes) = self.store_pieces(&sources, &known)?;
        let CertifiedRange { header, certificate, oldest, newest, .. } = vouched;
        let manifest = Manifest {
            chain: at_rest.chain(),
            node_key: home.node_key,
            node: home.node.clone(),
            validator: home.validator,
            program: home.program.clone(),
            made_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64),
            header,
            certificate,
            oldest,
            newest,
            files,
        };
        let id = BackupId::draw()?;
        self.put_manifest(&id, &manifest)?;
        // A lost backup is reported missing for as long as the head names it. Only `retain` removes names.
        self.put_head(manifests.keys().copied().chain([id]).collect())?;
        let bytes = manifest.files.iter().map(|file| file.bytes).sum();
        Ok(Created { id, height: newest, from_height: oldest, bytes, new_bytes, new_pieces })
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
fn sources(home: &Home, vouched: &CertifiedRange) -> Result<Vec<Source>, BackupError> {
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
    let failed = BackupError::io("read", &home.store);
    for entry in fs::read_dir(&home.store).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().map_err(&failed)?.is_file();
        if is_file && !NOT_THE_STORES.iter().any(|not| name.starts_with(not)) {
            sources.push(Source::of_file(format!("{STORE}/{name}"), &entry.path(), None)?);
        }
    }
    let contents = encode(&vouched.changes);
    let (path, bytes) = (EPOCHS.to_owned(), contents.len() as u64);
    sources.push(Source { path, bytes, contents: Contents::Memory(contents) });
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
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
