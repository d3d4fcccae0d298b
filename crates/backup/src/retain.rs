//! Removes old backups, and pieces that none needs any more.
//!
//! *Invariants:* a manifest goes before any of its pieces; where one can't be read nothing is removed; only the home's own
//! process removes, which makes no backup meanwhile (the caller's lock).

use crate::Backups;
use crate::error::BackupError;
use crate::manifest::{BackupId, Fault, PIECES, manifest_object, piece_object};
use serde::Serialize;
use std::collections::BTreeSet;

/// What was removed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Retained {
    /// Backups that are left.
    pub kept: u64,
    /// Backups that went.
    pub removed: Vec<BackupId>,
    /// Pieces that went with them, or that nothing needed.
    pub removed_pieces: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

impl Backups {
    /// Keeps the newest backups, at least one. Errors: a manifest that doesn't open, the destination; a call that was cut
    /// short is gone on with by the next.
    pub fn retain(&self, keep: u64) -> Result<Retained, BackupError> {
        self.work.begin("looking", 0);
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for (id, manifest) in self.manifests()? {
            match manifest {
                Ok(manifest) => kept.push((manifest.made_ms, id, manifest)),
                // Nothing brings its pieces back into use, and it goes on being missed.
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
        let mut gone = Retained { kept: kept.len() as u64, removed, ..Retained::default() };
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
