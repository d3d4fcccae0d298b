//! Another master key for the journal: what it opens with, the segment that it begins, and old segments sealed anew.
//!
//! *Invariants:* a record keeps its position; a segment is sealed anew into a file beside it, which takes its place when it
//! is on disk, so that a kill leaves the one or the other, whole.

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
    /// Has everything sealed under another master key from a new segment on. Segments of the one before are let go of as
    /// the log moves on, and sealed anew by the next `open`; until then that key is needed.
    pub fn rekey(&self, at_rest: &AtRest) -> Result<(), JournalError> {
        self.reader.folder.replace_keys(JournalKeys::new(at_rest.clone())?);
        self.shared.queue.lock().renew = true;
        self.shared.work.notify_one();
        Ok(())
    }

    /// Records below this position are of the key before: those that are needed are to be appended once more.
    pub fn leave_below(&self) -> Lsn {
        self.shared.stats.leave_below()
    }
}

impl Folder {
    /// Seals a segment's records under the newest master key, in a file that takes its place. Where that isn't possible, as
    /// on a full disk, the segment stays as it is: the key before opens it.
    pub(super) fn seal_anew(&self, segment: SegmentFile, header: &Header) -> Result<SegmentFile, JournalError> {
        let unfinished = segment.path.with_extension("new");
        if self.write_anew(&segment, header, &unfinished).is_err() {
            // A half-made file only takes room away; the next open removes it, too.
            let _removed = fs::remove_file(&unfinished);
            return Ok(segment);
        }
        let place = || {
            fs::rename(&unfinished, &segment.path)?;
            self.sync_names()?;
            // Without the salt in it nothing tells the key of what the disk may keep of the old file.
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
