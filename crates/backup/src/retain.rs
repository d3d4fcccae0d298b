//! Retention: it removes old backups, and pieces that no backup needs any more.
//!
//! *Invariants:* a manifest is removed before any of its pieces; if one can't be read, nothing is removed; only the
//! home's own process removes backups, and it makes none meanwhile (the caller's lock).

use crate::Backups;
use crate::error::BackupError;
use crate::manifest::{BackupId, Fault, PIECES, manifest_object, piece_object};
use serde::Serialize;
use std::collections::BTreeSet;

/// Result of a retention.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct RetentionResult {
    /// Number of backups that are left.
    pub kept: u64,
    /// Backups that were removed.
    pub removed: Vec<BackupId>,
    /// Number of pieces that were removed with them, or that no backup needed.
    pub removed_pieces: u64,
    /// Bytes of these pieces.
    pub removed_bytes: u64,
}

impl Backups {
    /// Keeps the newest backups, at least one. Errors: a manifest that doesn't open; the destination. The next call
    /// continues an interrupted one.
    pub fn retain(&self, keep: u64) -> Result<RetentionResult, BackupError> {
        self.work.begin("looking", 0);
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for (id, manifest) in self.manifests()? {
            match manifest {
                Ok(manifest) => kept.push((manifest.made_ms, id, manifest)),
                // Its pieces can't come back into use, and it continues to be reported missing.
                Err(Fault::Missing) => missing.push(id),
                Err(fault) => {
                    let (place, object, what) = (self.place.shown(), manifest_object(&id), fault.to_string());
                    return Err(BackupError::Unclear { place, object, what });
                }
            }
        }
        kept.sort_by_key(|(made_ms, id, _)| (*made_ms, *id));
        let surplus = kept.len().saturating_sub(usize::try_from(keep.max(1)).unwrap_or(usize::MAX));
        let removed: Vec<BackupId> = kept.drain(..surplus).map(|(_, id, _)| id).collect();
        if !removed.is_empty() {
            self.put_head(kept.iter().map(|(_, id, _)| *id).chain(missing).collect())?;
        }
        for id in &removed {
            self.place.remove(&manifest_object(id))?;
        }
        let files = kept.iter().flat_map(|(_, _, manifest)| &manifest.files);
        let needed: BTreeSet<String> = files.flat_map(|file| file.pieces.iter().map(piece_object)).collect();
        let mut gone = RetentionResult { kept: kept.len() as u64, removed, ..RetentionResult::default() };
        let pieces = self.place.list(PIECES)?;
        let unneeded: Vec<_> = pieces.iter().filter(|(object, _)| !needed.contains(*object)).collect();
        self.work.begin("removing", unneeded.len() as u64);
        for (object, bytes) in unneeded {
            self.place.remove(object)?;
            gone.removed_pieces += 1;
            gone.removed_bytes = gone.removed_bytes.saturating_add(*bytes);
            self.work.advance(1)?;
        }
        Ok(gone)
    }
}
