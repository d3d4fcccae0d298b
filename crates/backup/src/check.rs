//! The check of a destination: it reads every object there, and names those that aren't as they were written.

use crate::Backups;
use crate::chain::check_certificate;
use crate::error::BackupError;
use crate::manifest::{BackupId, EPOCHS, HEAD, Manifest, PIECES, PieceName, manifest_object, path_of, piece_object};
use crate::work::in_parallel;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Number of backups and files that are named with a damaged object: enough to show its importance.
const NAMED_MAX: usize = 8;

/// An object that is missing or changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Damage {
    /// The object's name at the destination.
    pub object: String,
    /// Description of the fault.
    pub what: String,
    /// Some of the backups that need it.
    pub backups: Vec<BackupId>,
    /// Some of the files that contain it as a piece.
    pub files: Vec<String>,
}

/// Result of a check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verified {
    /// Number of backups.
    pub backups: u64,
    /// Number of pieces that they need.
    pub pieces: u64,
    /// Bytes of pieces that were read.
    pub bytes: u64,
    /// Number of pieces that no backup needs.
    pub unneeded: u64,
    /// Damaged objects.
    pub damaged: Vec<Damage>,
}

/// The users of a piece, by backup and file, and its bytes.
#[derive(Default)]
struct PieceUsers {
    bytes: u64,
    backups: BTreeSet<BackupId>,
    files: BTreeSet<String>,
}

impl Backups {
    /// Reads every object, and checks each backup's certificate. Errors: there is no backup; the destination fails.
    pub fn verify(&self) -> Result<Verified, BackupError> {
        self.work.begin("reading manifests", 0);
        let manifests = self.manifests()?;
        if manifests.is_empty() {
            return Err(BackupError::Empty(self.place.shown()));
        }
        let mut damaged: BTreeMap<String, Damage> = BTreeMap::new();
        let mut found = |object: String, what: String, backups: Vec<BackupId>, files: Vec<String>| {
            damaged.entry(object.clone()).or_insert(Damage { object, what, backups, files });
        };
        match self.checked_head()? {
            Ok(Some(_)) => {}
            Ok(None) => found(HEAD.to_owned(), "it is missing".to_owned(), Vec::new(), Vec::new()),
            Err(fault) => found(HEAD.to_owned(), fault.to_string(), Vec::new(), Vec::new()),
        }
        let mut good = Vec::new();
        for (id, manifest) in &manifests {
            match manifest {
                Ok(manifest) if manifest.files.iter().all(|file| file.sized().is_some()) => good.push((id, manifest)),
                Ok(_) => found(
                    manifest_object(id),
                    "it names files of other sizes than their pieces".into(),
                    vec![*id],
                    vec![],
                ),
                Err(fault) => found(manifest_object(id), fault.to_string(), vec![*id], Vec::new()),
            }
        }
        let needed = needed(&good);
        let listed = self.place.list(PIECES)?;
        let unneeded = listed.len() - needed.keys().filter(|name| listed.contains_key(&piece_object(name))).count();
        for (name, what) in self.read_pieces(&needed)? {
            let PieceUsers { backups, files, .. } = &needed[&name];
            let backups = backups.iter().copied().take(NAMED_MAX).collect();
            found(piece_object(&name), what, backups, files.iter().take(NAMED_MAX).cloned().collect());
        }
        for (id, manifest) in &good {
            if let Some(what) = self.certificate_fault(manifest)? {
                found(manifest_object(id), what, vec![**id], Vec::new());
            }
        }
        Ok(Verified {
            backups: manifests.len() as u64,
            pieces: needed.len() as u64,
            bytes: needed.values().map(|needed| needed.bytes).sum(),
            unneeded: unneeded as u64,
            damaged: damaged.into_values().collect(),
        })
    }

    /// Reads pieces. Returns the faults of those that are damaged.
    fn read_pieces(
        &self,
        needed: &BTreeMap<PieceName, PieceUsers>,
    ) -> Result<BTreeMap<PieceName, String>, BackupError> {
        self.work.begin("reading", needed.values().map(|needed| needed.bytes).sum());
        let bad = Mutex::new(BTreeMap::new());
        in_parallel(needed.iter(), |(name, needed)| {
            if let Err(fault) = self.piece(name, needed.bytes)? {
                bad.lock().insert(*name, fault.to_string());
            }
            self.work.advance(needed.bytes)
        })?;
        Ok(bad.into_inner())
    }

    /// Checks a backup's certificates against the genesis in it, and returns the first fault, if any. Damaged pieces are
    /// reported elsewhere.
    fn certificate_fault(&self, manifest: &Manifest) -> Result<Option<String>, BackupError> {
        let Ok(genesis) = self.small_file(manifest, "genesis.json")? else { return Ok(None) };
        for (shard, range) in manifest.shards() {
            let Ok(epochs) = self.small_file(manifest, &path_of(shard, EPOCHS))? else { continue };
            if let Err(fault) = check_certificate(manifest.chain, shard, range, &genesis, &epochs) {
                return Ok(Some(fault));
            }
        }
        Ok(None)
    }
}

fn needed(manifests: &[(&BackupId, &Manifest)]) -> BTreeMap<PieceName, PieceUsers> {
    let mut needed: BTreeMap<PieceName, PieceUsers> = BTreeMap::new();
    for (id, manifest) in manifests {
        for file in &manifest.files {
            for (name, bytes) in file.sized().into_iter().flatten() {
                let entry = needed.entry(*name).or_default();
                entry.bytes = bytes;
                entry.backups.insert(**id);
                entry.files.insert(file.path.clone());
            }
        }
    }
    needed
}
