//! The journal's folder: its lock, its segment files, and how they are read back.
//!
//! *Invariants:* a file called `segment-*.log` is fully allocated and its header is either zero or whole; segments are
//! freed oldest first and a segment is begun only after the one before is synced, so that a gap means damage.

use super::format::{
    FORMAT, HEADER_BYTES, Header, HeaderState, JournalKeys, PAGE, RECORD_OVERHEAD, durable_beyond, parse,
};
use super::{Durability, JournalError, JournalRecord, Lsn, RecordKind};
use crate::files;
use parking_lot::RwLock;
use rustix::fs::FallocateFlags;
use rustorium_crypto::seal::{FreshSalt, LogOpener, LogSealer};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The folder and its settings.
#[derive(Clone)]
pub(super) struct Folder {
    path: PathBuf,
    pub durability: Durability,
    pub segment_bytes: u64,
    /// Shared with readers on other threads. Replaced when the master key is replaced.
    keys: Arc<RwLock<Arc<JournalKeys>>>,
}

/// A segment's file.
pub(super) struct SegmentFile {
    pub file: File,
    pub path: PathBuf,
    /// Size of the file, in whole pages.
    pub bytes: u64,
}

/// A segment that is no longer written to.
pub(super) struct SealedSegment {
    pub segment: SegmentFile,
    /// Position after its last record.
    pub end: u64,
}

/// The files of a folder.
pub(super) struct Layout {
    /// Sealed segments, oldest first.
    pub sealed: VecDeque<SealedSegment>,
    pub free: Vec<SegmentFile>,
    /// A number that no file has yet.
    pub next_number: u32,
}

/// Contents of a folder.
pub(super) struct Recovered {
    pub records: Vec<JournalRecord>,
    pub layout: Layout,
    /// Position after the last record.
    pub next: u64,
}

struct SegmentContent {
    segment: SegmentFile,
    header: Header,
    end: u64,
    records: Vec<JournalRecord>,
    /// Offset of a later record that proves that the one at `end` is damaged, not merely unwritten.
    beyond: Option<usize>,
}

impl Folder {
    /// Creates and locks the folder. The lock lasts as long as the returned file.
    pub(super) fn lock(
        path: &Path,
        durability: Durability,
        segment_bytes: usize,
        keys: JournalKeys,
    ) -> Result<(Self, File), JournalError> {
        let (segment_bytes, keys) = (segment_bytes as u64, Arc::new(RwLock::new(Arc::new(keys))));
        let folder = Self { path: path.to_owned(), durability, segment_bytes, keys };
        files::private_folder(path).map_err(|e| JournalError::io("make the folder", path, &e))?;
        let lock_path = path.join("lock");
        let open = files::private_file().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let lock = open.map_err(|e| JournalError::io("open", &lock_path, &e))?;
        let free = files::try_lock(&lock).map_err(|e| JournalError::io("lock", &lock_path, &e))?;
        if free { Ok((folder, lock)) } else { Err(JournalError::Locked { folder: path.to_owned() }) }
    }

    pub(super) fn keys(&self) -> Arc<JournalKeys> {
        self.keys.read().clone()
    }

    /// Replaces the keys. New segments are sealed with the newest of these; a segment opens with either of them.
    pub(super) fn replace_keys(&self, keys: JournalKeys) {
        *self.keys.write() = Arc::new(keys);
    }

    /// Reads all segments. Errors: a record that had been durable is damaged or missing.
    pub(super) fn recover(&self) -> Result<Recovered, JournalError> {
        let mut layout = Layout { sealed: VecDeque::new(), free: Vec::new(), next_number: 1 };
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        let (segments, unfinished) = self.segment_paths()?;
        for (number, path) in segments {
            layout.next_number = layout.next_number.max(number.saturating_add(1));
            let segment = open_segment(path)?;
            match self.read_header(&segment)? {
                HeaderState::Free => layout.free.push(segment),
                HeaderState::Used(header) => found.push(self.read_segment(segment, header, &mut buffer)?),
                HeaderState::Version(found) => {
                    return Err(JournalError::Version { file: segment.path, found, supported: FORMAT });
                }
                HeaderState::OtherKey => return Err(JournalError::OtherKey { file: segment.path }),
                HeaderState::Bad => return Err(corrupt(&segment, 0, "its header doesn't check")),
            }
        }
        // Wait until all of them are known to have this format: files of another release must stay as they are.
        for path in unfinished {
            fs::remove_file(&path).map_err(|e| JournalError::io("remove", &path, &e))?;
        }
        found.sort_by_key(|f| (f.header.first, f.end));
        let (whole, next) = check_chain(&found)?;
        let lost = found.split_off(whole);
        let mut records = Vec::new();
        for found in lost.into_iter().rev() {
            self.free(&found.segment)?;
            layout.free.push(found.segment);
        }
        for mut found in found {
            if found.records.is_empty() {
                self.free(&found.segment)?;
                layout.free.push(found.segment);
            } else {
                // These records may come from the page cache. Later records build on them, so they must be on disk
                // first.
                self.sync(&found.segment)?;
                records.append(&mut found.records);
                let mut segment = found.segment;
                if found.header.before {
                    segment = self.seal_anew(segment, &found.header)?;
                }
                layout.sealed.push_back(SealedSegment { segment, end: found.end });
            }
        }
        Ok(Recovered { records, layout, next })
    }

    /// Lists segments by their numbers, and files whose preparation was cut short. The latter never held a record.
    pub(super) fn segment_paths(&self) -> Result<Paths, JournalError> {
        let fail = |e: io::Error| JournalError::io("list", &self.path, &e);
        let (mut paths, mut unfinished) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("segment-"));
            match name.and_then(|name| name.split_once('.')) {
                Some((_, "new")) => unfinished.push(path),
                Some((number, "log")) => match number.parse() {
                    Ok(number) => paths.push((number, path)),
                    Err(_) => continue,
                },
                _ => continue,
            }
        }
        paths.sort();
        Ok((paths, unfinished))
    }

    /// Syncs the folder, so that names in it survive a power cut.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        files::sync_folder(&self.path)
    }

    /// Creates a segment file, written once with zeros. Overwriting allocated blocks syncs in half the time of
    /// appending.
    pub(super) fn create(&self, number: u32) -> Result<SegmentFile, JournalError> {
        let unfinished = self.path.join(format!("segment-{number:08}.new"));
        let path = self.path.join(format!("segment-{number:08}.log"));
        let fail = |e: io::Error| JournalError::io("make", &path, &e);
        let create = || -> io::Result<File> {
            let file = files::private_file().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.segment_bytes)?;
            let mut at = 0;
            while at < self.segment_bytes {
                let part = (self.segment_bytes - at).min(ZEROS.len() as u64);
                file.write_all_at(&ZEROS[..part as usize], at)?;
                at += part;
            }
            if self.durability == Durability::Vote {
                file.sync_all()?;
            }
            fs::rename(&unfinished, &path)?;
            if self.durability == Durability::Vote {
                files::sync_folder(&self.path)?;
            }
            Ok(file)
        };
        match create() {
            Ok(file) => Ok(SegmentFile { file, path, bytes: self.segment_bytes }),
            Err(error) => {
                // On a full disk, the half-made file only takes room. It changes nothing if its removal fails too.
                let _removed = fs::remove_file(&unfinished);
                Err(fail(error))
            }
        }
    }

    /// Begins a use of the file whose first record gets position `first`. The key of its records is derived from a
    /// salt, which is durable before the first record is written.
    pub(super) fn begin(&self, segment: &SegmentFile, first: u64) -> Result<LogSealer, JournalError> {
        let fresh = FreshSalt::draw()?;
        let (watermark, pages) = match self.durability {
            Durability::Vote => (first, pages(segment)),
            Durability::Os => (0, 0),
        };
        let (keys, header) = (self.keys(), Header { first, watermark, pages, salt: fresh.salt(), before: false });
        self.write_header(segment, &header.encode(&keys))?;
        Ok(keys.sealer(fresh)?)
    }

    /// Ends the use of the file. This is durable, so that of two freed segments never only the newer one is gone.
    pub(super) fn free(&self, segment: &SegmentFile) -> Result<(), JournalError> {
        self.write_header(segment, &[0; HEADER_BYTES])
    }

    /// Removes a freed segment's file.
    pub(super) fn remove(&self, segment: SegmentFile) -> Result<(), JournalError> {
        fs::remove_file(&segment.path).map_err(|e| JournalError::io("remove", &segment.path, &e))
    }

    fn write_header(&self, segment: &SegmentFile, header: &[u8; HEADER_BYTES]) -> Result<(), JournalError> {
        let mut page = [0; PAGE];
        page[..HEADER_BYTES].copy_from_slice(header);
        let written = segment.file.write_all_at(&page, 0);
        written.map_err(|e| JournalError::io("write the header of", &segment.path, &e))?;
        self.sync(segment)
    }

    /// Syncs the file's data, if this journal must survive a power cut.
    pub(super) fn sync(&self, segment: &SegmentFile) -> Result<(), JournalError> {
        match self.durability {
            Durability::Vote => segment.file.sync_data().map_err(|e| JournalError::io("sync", &segment.path, &e)),
            Durability::Os => Ok(()),
        }
    }

    fn read_header(&self, segment: &SegmentFile) -> Result<HeaderState, JournalError> {
        let mut bytes = [0; HEADER_BYTES];
        match segment.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(Header::decode(&bytes, &self.keys())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(HeaderState::Bad),
            Err(error) => Err(JournalError::io("read", &segment.path, &error)),
        }
    }

    /// Reads the record at a position of a segment. Its payload has the length `payload_bytes`.
    pub(super) fn read_record(
        &self,
        segment: &SegmentFile,
        lsn: u64,
        payload_bytes: u64,
    ) -> Result<JournalRecord, JournalError> {
        let HeaderState::Used(header) = self.read_header(segment)? else {
            return Err(corrupt(segment, 0, "its header doesn't check"));
        };
        let at = lsn.checked_sub(header.first).map_or(u64::MAX, |offset| PAGE as u64 + offset);
        let bytes = RECORD_OVERHEAD as u64 + payload_bytes;
        let damaged = || corrupt(segment, at as usize, "a record that had been durable doesn't check");
        if at.checked_add(bytes).is_none_or(|end| end > segment.bytes) {
            return Err(damaged());
        }
        let mut record = vec![0; bytes as usize];
        let read = segment.file.read_exact_at(&mut record, at);
        read.map_err(|e| JournalError::io("read", &segment.path, &e))?;
        let record = parse(&self.keys().opener(&header)?, &record, 0, lsn).ok_or_else(damaged)?;
        let kind = RecordKind::from_byte(record.kind).ok_or_else(damaged)?;
        let payload = record.into_payload();
        if payload.len() as u64 == payload_bytes {
            Ok(JournalRecord { kind, lsn: Lsn(lsn), payload })
        } else {
            Err(damaged())
        }
    }

    fn read_segment(
        &self,
        segment: SegmentFile,
        header: Header,
        buffer: &mut Vec<u8>,
    ) -> Result<SegmentContent, JournalError> {
        let cut = header.pages != 0 && pages(&segment) != header.pages;
        if cut {
            return Err(corrupt(&segment, segment.bytes as usize, "the file ends here, and was longer"));
        }
        let length = usize::try_from(segment.bytes).map_err(|_| corrupt(&segment, 0, "it is larger than memory"))?;
        buffer.resize(length, 0);
        let read = segment.file.read_exact_at(buffer, 0);
        read.map_err(|e| JournalError::io("read", &segment.path, &e))?;
        let opener = self.keys().opener(&header)?;
        let read = read_records(&opener, &header, buffer);
        let unknown = "a record of unknown kind: a newer version may have written it";
        let (records, end, beyond) = read.map_err(|at| corrupt(&segment, at, unknown))?;
        Ok(SegmentContent { segment, header, end, records, beyond })
    }
}

/// Segments by their numbers, and files whose preparation was cut short.
pub(super) type Paths = (Vec<(u32, PathBuf)>, Vec<PathBuf>);

/// The records in a segment's bytes, the position after the last one, and the offset of a later record if one proves
/// that more had been durable.
type Records = (Vec<JournalRecord>, u64, Option<usize>);

/// Parses a segment's records. Error: the offset of a record of unknown kind.
fn read_records(opener: &LogOpener, header: &Header, segment: &[u8]) -> Result<Records, usize> {
    let (mut at, mut lsn, mut records) = (PAGE, header.first, Vec::new());
    while let Some(record) = parse(opener, segment, at, lsn) {
        let kind = RecordKind::from_byte(record.kind).ok_or(at)?;
        let size = RECORD_OVERHEAD + record.payload().len();
        records.push(JournalRecord { kind, lsn: Lsn(lsn), payload: record.into_payload() });
        at += size;
        lsn = lsn.saturating_add(size as u64);
    }
    let beyond = durable_beyond(opener, header, segment, at);
    Ok((records, lsn, beyond))
}

/// Parses the records of a segment file's bytes; `None` if they are no segment of this key.
pub(super) fn records_of(keys: &JournalKeys, segment: &[u8]) -> Option<Vec<JournalRecord>> {
    let HeaderState::Used(header) = Header::decode(segment.first_chunk()?, keys) else { return None };
    read_records(&keys.opener(&header).ok()?, &header, segment).ok().map(|(records, ..)| records)
}

fn corrupt(segment: &SegmentFile, offset: usize, what: &'static str) -> JournalError {
    JournalError::Corrupt { file: segment.path.clone(), offset: offset as u64, what }
}

fn pages(segment: &SegmentFile) -> u32 {
    u32::try_from(segment.bytes / PAGE as u64).unwrap_or(u32::MAX)
}

pub(super) fn open_segment(path: PathBuf) -> Result<SegmentFile, JournalError> {
    let open = files::private_file().read(true).write(true).open(&path);
    let file = open.map_err(|e| JournalError::io("open", &path, &e))?;
    let length = file.metadata().map_err(|e| JournalError::io("look at", &path, &e))?.len();
    Ok(SegmentFile { file, path, bytes: length - length % PAGE as u64 })
}

/// Counts how many of the segments, given in order, form one log, and returns the position after it.
fn check_chain(found: &[SegmentContent]) -> Result<(usize, u64), JournalError> {
    let mut next = found.first().map_or(1, |f| f.header.first.max(1));
    for (index, f) in found.iter().enumerate() {
        if f.header.first > next && f.header.watermark <= next {
            // The records before it were never synced (durability "os"), and a power cut lost them.
            return Ok((index, next));
        }
        if f.header.first != next {
            return Err(corrupt(
                &f.segment,
                0,
                "records that had been durable are missing before it, or are there twice",
            ));
        }
        if f.beyond.is_some() {
            let at = PAGE + (f.end - f.header.first) as usize;
            return Err(corrupt(&f.segment, at, "a record that had been durable doesn't check"));
        }
        next = f.end;
    }
    Ok((found.len(), next))
}
