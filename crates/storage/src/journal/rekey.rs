//! Replacement of the journal's master key: the keys that open records, the segment that it begins, and old segments
//! that are sealed again.
//!
//! *Invariants:* a record keeps its position; a segment is sealed again into a new file beside it. That file takes its
//! place once it is on disk, so that a kill leaves the old file or the new one, whole.

use super::folder::{Folder, SegmentFile, open_segment};
use super::format::{HEADER_BYTES, Header, JournalKeys, PAGE, RECORD_OVERHEAD, frame, parse};
use super::{Journal, JournalError, Lsn};
use crate::files;
use rustorium_crypto::seal::{AtRest, FreshSalt};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

impl Journal {
    /// Seals everything under another master key, from a new segment on. Segments of the previous key are released as
    /// the log grows, and the next `open` seals the others again. Until then that key is needed.
    pub fn rekey(&self, at_rest: &AtRest) -> Result<(), JournalError> {
        self.reader.folder.replace_keys(JournalKeys::new(at_rest.clone())?);
        self.shared.queue.lock().renew = true;
        self.shared.work.notify_one();
        Ok(())
    }

    /// Returns the position below which records are sealed under the previous key. Those that are needed should be
    /// appended again.
    pub fn leave_below(&self) -> Lsn {
        self.shared.stats.leave_below()
    }
}

impl Folder {
    /// Seals a segment's records under the newest master key, in a new file that takes its place. If that isn't
    /// possible, as on a full disk, the segment stays as it is: the previous key opens it.
    pub(super) fn seal_anew(&self, segment: SegmentFile, header: &Header) -> Result<SegmentFile, JournalError> {
        let unfinished = segment.path.with_extension("new");
        if self.write_anew(&segment, header, &unfinished).is_err() {
            // A half-made file only takes room. The next open removes it, too.
            let _removed = fs::remove_file(&unfinished);
            return Ok(segment);
        }
        let place = || {
            fs::rename(&unfinished, &segment.path)?;
            self.sync_names()?;
            // Erase the salt: without it, no one can derive the key of blocks of the old file that the disk may still
            // have.
            segment.file.write_all_at(&[0; PAGE], 0)?;
            segment.file.sync_data()
        };
        place().map_err(|e: io::Error| JournalError::io("seal anew", &segment.path, &e))?;
        open_segment(segment.path)
    }

    fn write_anew(&self, segment: &SegmentFile, header: &Header, to: &Path) -> Result<(), JournalError> {
        let mut bytes = vec![0; usize::try_from(segment.bytes).unwrap_or(0)];
        let read = segment.file.read_exact_at(&mut bytes, 0);
        read.map_err(|e| JournalError::io("read", &segment.path, &e))?;
        let anew = self.sealed_anew(&bytes, header)?;
        let write = || {
            let mut file = files::private_file().write(true).create(true).truncate(true).open(to)?;
            file.write_all(&anew)?;
            file.sync_all()
        };
        write().map_err(|e: io::Error| JournalError::io("write", to, &e))
    }

    fn sealed_anew(&self, segment: &[u8], header: &Header) -> Result<Vec<u8>, JournalError> {
        let (keys, fresh) = (self.keys(), FreshSalt::draw()?);
        let (opener, mut lsn) = (keys.opener(header)?, header.first);
        let mut anew = vec![0; PAGE];
        let head = Header { salt: fresh.salt(), before: false, ..*header };
        anew[..HEADER_BYTES].copy_from_slice(&head.encode(&keys));
        let mut sealer = keys.sealer(fresh)?;
        while let Some(record) = parse(&opener, segment, anew.len(), lsn) {
            frame(&mut sealer, record.kind, lsn, record.watermark, record.payload(), &mut anew)?;
            lsn = lsn.saturating_add((RECORD_OVERHEAD + record.payload().len()) as u64);
        }
        anew.resize(segment.len(), 0);
        Ok(anew)
    }
}
