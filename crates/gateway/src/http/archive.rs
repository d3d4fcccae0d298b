//! Files of a ZIP archive in the form in which HTTP carries them: a deflated one is a gzip stream but for its frame.
//!
//! The archive's layout is that of PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16; gzip's is RFC 1952.
//!
//! *Invariants:* nothing is inflated; bytes that aren't an archive have no file, and never panic.

use std::borrow::Cow;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
const STORED: usize = 0;
const DEFLATED: usize = 8;
/// Start of a gzip stream: deflate, no name, no time, no particular system.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Content of a file.
pub(super) struct Packed<'a> {
    /// The bytes as they are sent.
    pub bytes: Cow<'a, [u8]>,
    /// They are a gzip stream, and otherwise the file itself.
    pub gzip: bool,
}

/// Returns the first file of `archive` whose path ends in `name`; `None` if there is no such file.
pub(super) fn packed<'a>(archive: &'a [u8], name: &str) -> Option<Packed<'a>> {
    let last = archive.len().checked_sub(END_BYTES)?;
    let end = archive.get((0..=last).rev().find(|at| archive[*at..].starts_with(END))?..)?;
    let mut at = number(end, 16, 4)?;
    for _ in 0..number(end, 10, 2)? {
        let entry = archive.get(at..).filter(|entry| entry.starts_with(ENTRY))?;
        let path = ENTRY_BYTES..ENTRY_BYTES.checked_add(number(entry, 28, 2)?)?;
        if entry.get(path.clone())?.ends_with(name.as_bytes()) {
            return content(archive, entry);
        }
        at = at.checked_add(path.end + number(entry, 30, 2)? + number(entry, 32, 2)?)?;
    }
    None
}

fn content<'a>(archive: &'a [u8], entry: &[u8]) -> Option<Packed<'a>> {
    let local = archive.get(number(entry, 42, 4)?..).filter(|local| local.starts_with(LOCAL))?;
    let start = LOCAL_BYTES + number(local, 26, 2)? + number(local, 28, 2)?;
    let bytes = local.get(start..start.checked_add(number(entry, 20, 4)?)?)?;
    match number(entry, 10, 2)? {
        STORED => Some(Packed { bytes: bytes.into(), gzip: false }),
        // The stream ends in the file's checksum and its length, which the archive has, too.
        DEFLATED => {
            Some(Packed { bytes: [&GZIP, bytes, entry.get(16..20)?, entry.get(24..28)?].concat().into(), gzip: true })
        }
        _ => None,
    }
}

/// Returns the little-endian number of `bytes` bytes at `at`.
fn number(of: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let digits = of.get(at..at.checked_add(bytes)?)?;
    Some(digits.iter().rev().fold(0, |value, digit| value << 8 | usize::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `files.zip` as `zip -X` makes it: `a/stored.txt` with "short", and `a/long.txt` with 1,000 times "x".
    const FILES: &[u8] = include_bytes!("../../tests/it/files.zip");

    #[test]
    fn a_stored_file_is_itself_and_a_deflated_one_a_gzip_stream() {
        let short = packed(FILES, "/stored.txt").unwrap();
        assert_eq!((&*short.bytes, short.gzip), (&b"short"[..], false));
        let long = packed(FILES, "/long.txt").unwrap();
        assert!(long.gzip && long.bytes.len() < 100);
        // CRC-32 and length of the content, RFC 1952, section 2.3.1.
        let length = long.bytes.len();
        assert_eq!(long.bytes[length - 4..], 1000_u32.to_le_bytes());
        assert!(packed(FILES, "/none.txt").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0..FILES.len(),
            at in 0..FILES.len(),
            with: u8,
        ) {
            let changed = |from: &[u8]| {
                let mut bytes = from.to_vec();
                if let Some(byte) = bytes.get_mut(at) { *byte = with }
                let _ = packed(&bytes, "/long.txt");
            };
            changed(&bytes);
            changed(&[&bytes[..], END, &[with; 18]].concat());
            changed(&FILES[..cut]);
            changed(FILES);
        }
    }
}
