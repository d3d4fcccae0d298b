//! A reader of records by their positions, on any thread, while the journal's own thread writes.
//!
//! *Invariants:* a record comes back as it was appended or not at all: it is sealed with its position, so that a
//! segment that was freed, or is used again, has none of it.

use super::folder::Folder;
use super::format::{HEADER_BYTES, Header, HeaderState, PAGE, RECORD_OVERHEAD, parse};
use super::{JournalRecord, Lsn, RecordKind};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The largest record that can be read back. Batches are larger, and no caller asks for them.
const READ_BYTES_MAX: usize = 64 * 1024;

/// A reader of an open journal's folder.
#[derive(Clone)]
pub struct JournalReader {
    pub(super) folder: Folder,
}

impl JournalReader {
    /// Returns the records at these positions, in their order. A record is left out if it was released, isn't written
    /// yet, or can't be read.
    pub fn read(&self, positions: &[Lsn]) -> Vec<JournalRecord> {
        let segments = self.segments();
        let find =
            |lsn: &Lsn| segments.iter().rev().find(|segment| segment.header.first <= lsn.0)?.read(&self.folder, *lsn);
        positions.iter().filter_map(find).collect()
    }

    /// Number of segments in use that are sealed under the previous master key.
    pub fn of_the_key_before(&self) -> usize {
        self.segments().iter().filter(|segment| segment.header.before).count()
    }

    /// Returns the segments in use, oldest first.
    fn segments(&self) -> Vec<Segment> {
        let paths = self.folder.segment_paths().map(|(segments, _)| segments).unwrap_or_default();
        let mut segments: Vec<Segment> = paths
            .into_iter()
            .filter_map(|(_, path)| {
                let file = File::open(path).ok()?;
                let mut bytes = [0; HEADER_BYTES];
                file.read_exact_at(&mut bytes, 0).ok()?;
                match Header::decode(&bytes, &self.folder.keys()) {
                    HeaderState::Used(header) => Some(Segment { file, header }),
                    _ => None,
                }
            })
            .collect();
        segments.sort_by_key(|segment| segment.header.first);
        segments
    }
}

struct Segment {
    file: File,
    header: Header,
}

impl Segment {
    fn read(&self, folder: &Folder, lsn: Lsn) -> Option<JournalRecord> {
        let at = (PAGE as u64).checked_add(lsn.0.checked_sub(self.header.first)?)?;
        let mut length = [0; 4];
        self.file.read_exact_at(&mut length, at).ok()?;
        let length = u32::from_le_bytes(length) as usize;
        if length > READ_BYTES_MAX {
            return None;
        }
        let mut bytes = vec![0; RECORD_OVERHEAD + length];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        let record = parse(&folder.keys().opener(&self.header).ok()?, &bytes, 0, lsn.0)?;
        Some(JournalRecord { kind: RecordKind::from_byte(record.kind)?, lsn, payload: record.into_payload() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::journal::{Durability, Journal, Lsn, RecordKind};
    use rustorium_crypto::seal::{AtRest, MasterKey};
    use rustorium_types::ChainId;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use tempfile::TempDir;

    #[test]
    fn records_are_read_back_beside_the_writer_and_only_what_was_appended() {
        let folder = TempDir::new().unwrap();
        let at_rest = AtRest::new(Arc::new(MasterKey::from_secret(&[1; 32]).unwrap()), ChainId([5; 32]));
        let (tell, done) = channel();
        let tell = Box::new(move |result| tell.send(result).unwrap_or_default());
        let (journal, _) = Journal::open_with(folder.path(), Durability::Os, 16 * 1024, &at_rest, tell).unwrap();
        // About six segments.
        let payload = |number: u64| number.to_le_bytes().repeat(60);
        let positions: Vec<Lsn> =
            (0..150).map(|number| journal.append(RecordKind::Certificate, &payload(number))).collect();
        journal.sync(positions[149]);
        while done.recv().unwrap().unwrap() < positions[149] {}
        let asked = [positions[140], positions[3], positions[77], Lsn(positions[9].0 + 1), Lsn(1 << 40)];
        let read = journal.reader().read(&asked);
        let numbers: Vec<(u64, &[u8])> = read.iter().map(|record| (record.lsn.0, record.payload.as_ref())).collect();
        let expected = [(140, payload(140)), (3, payload(3)), (77, payload(77))];
        let expected: Vec<(u64, &[u8])> =
            expected.iter().map(|(at, payload)| (positions[*at].0, payload.as_slice())).collect();
        assert_eq!(numbers, expected);
        assert!(read.iter().all(|record| record.kind == RecordKind::Certificate));
        journal.release(positions[100]);
        journal.sync(positions[149]);
        done.recv().unwrap().unwrap();
        // The sync was done before the release, so the thread needs one more pass.
        journal.sync(positions[149]);
        done.recv().unwrap().unwrap();
        assert!(journal.reader().read(&positions[..10]).is_empty(), "what was released is gone");
        assert_eq!(journal.reader().read(&positions[120..]).len(), 30);
    }
}
