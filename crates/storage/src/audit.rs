//! The audit log: a hash-chained, signed, append-only record of operator and security events, one JSON object a line.
//!
//! *Invariants:* the hash of a line covers every byte before it, so any edit shows; it names the line before, so removal
//! and reordering show; a line without its end is never counted. Only lines missing at the very end don't show by
//! themselves: for that the head is anchored elsewhere and handed to `verify_anchored`.

use crate::files;
use parking_lot::Mutex;
use rustorium_crypto::{SigningKey, domain, hash, verify as verify_signature};
use rustorium_types::{Hash, PublicKey};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The log's file name in its folder.
pub const FILE_NAME: &str = "audit.jsonl";
/// Bytes of one line.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

const SEAL_START: &str = ",\"hash\":\"";
const SEAL_MIDDLE: &str = "\",\"signature\":\"";
const SEAL_END: &str = "\"}";
const SEAL_BYTES: usize = SEAL_START.len() + 64 + SEAL_MIDDLE.len() + 128 + SEAL_END.len();

/// End of a log: the number and hash of its last line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Lines so far; the first line's seq is 1.
    pub seq: u64,
    /// Hash of the last line; zero for none.
    pub hash: Hash,
}

/// Result of checking a whole log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// End of the log.
    pub head: Head,
    /// Time of the first line, Unix ms; 0 for none.
    pub first_ts_ms: u64,
    /// Time of the last line, Unix ms; 0 for none.
    pub last_ts_ms: u64,
}

/// The first line that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line} of the audit log is not as it was written: {what}")]
pub struct AuditFault {
    /// Counted from 1.
    pub line: u64,
    /// Description of the fault.
    pub what: String,
}

/// An event could not be recorded, or a log could not be opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AuditError {
    /// Another process has the log open.
    #[error(
        "another process of this home writes the audit log {path}: use its admin socket, or stop it if it doesn't answer"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The last line was not written by this node.
    #[error("{0}; keep the file as evidence, move it away, and start again")]
    Broken(#[from] AuditFault),
    /// A line over the limit.
    #[error("an audit event of {bytes} bytes is over the limit of {LINE_BYTES_MAX}: record less")]
    TooLarge {
        /// Bytes of the line.
        bytes: usize,
    },
    /// The disk is full.
    #[error("the disk that holds {path} is full: free space on it, then try again")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Any other error of the disk.
    #[error("the audit log {path} failed: {reason}; check the disk, then try again")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason given.
        reason: String,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    ts_ms: u64,
    event: &'a str,
    fields: &'a serde_json::Value,
    prev: Hash,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadLine {
    seq: u64,
    ts_ms: u64,
    #[serde(rename = "event")]
    _event: String,
    #[serde(rename = "fields")]
    _fields: serde_json::Value,
    prev: Hash,
}

#[derive(Deserialize)]
struct NamedLine {
    event: String,
    fields: serde_json::Value,
}

/// An open log. Only one process at a time can have it open.
pub struct AuditSink {
    path: PathBuf,
    key: SigningKey,
    state: Mutex<State>,
}

struct State {
    file: File,
    head: Head,
    end: u64,
    /// Events since the last line that could not be written. Bytes of them may stand after the log's end.
    lost: u64,
}

impl AuditSink {
    /// Opens the log in `folder` (created if missing) and continues after its last line. A line that a crash cut short
    /// is removed, and a new line records that. Errors: another process has the log open; the last line is damaged; the
    /// disk is full or fails.
    pub fn open(folder: &Path, key: SigningKey) -> Result<Self, AuditError> {
        let path = folder.join(FILE_NAME);
        let fail = |e: io::Error| io_error(&path, &e);
        files::private_folder(folder).map_err(fail)?;
        let file =
            files::private_file().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        if !files::try_lock(&file).map_err(fail)? {
            return Err(AuditError::Locked { path });
        }
        files::sync_folder(folder).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let (end, head) = read_end(&file, length, &key.public()).map_err(fail)??;
        if end < length {
            file.set_len(end).map_err(fail)?;
        }
        let sink = Self { path, key, state: Mutex::new(State { file, head, end, lost: 0 }) };
        if end < length {
            sink.record("audit.cut_line_removed", serde_json::json!({ "bytes": length - end }))?;
        }
        Ok(sink)
    }

    /// Appends an event and syncs it to disk. After failed writes, it first cuts off the bytes that they left, and
    /// records how many events are missing.
    pub fn record(&self, event: &str, fields: serde_json::Value) -> Result<Head, AuditError> {
        let state = &mut *self.state.lock();
        if state.lost > 0 {
            let lost = serde_json::json!({ "events": state.lost });
            let cut = state.file.set_len(state.end).map_err(|error| io_error(&self.path, &error));
            if let Err(error) = cut.and_then(|()| self.append(state, "audit.events_lost", &lost)) {
                state.lost += 1;
                return Err(error);
            }
            state.lost = 0;
        }
        let recorded = self.append(state, event, &fields);
        if !matches!(recorded, Ok(_) | Err(AuditError::TooLarge { .. })) {
            state.lost += 1;
        }
        recorded
    }

    fn append(&self, state: &mut State, event: &str, fields: &serde_json::Value) -> Result<Head, AuditError> {
        let ts_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64);
        let seq = state.head.seq + 1;
        let line = Line { seq, ts_ms, event, fields, prev: state.head.hash };
        let (text, hash) = seal(&line, &self.key).map_err(|e| io_error(&self.path, &io::Error::other(e)))?;
        if text.len() > LINE_BYTES_MAX {
            return Err(AuditError::TooLarge { bytes: text.len() });
        }
        let written = state.file.write_all_at(text.as_bytes(), state.end).and_then(|()| state.file.sync_data());
        written.map_err(|error| io_error(&self.path, &error))?;
        state.end += text.len() as u64;
        state.head = Head { seq, hash };
        Ok(state.head)
    }

    /// Calls `take` with the fields of every event of this name so far, oldest first. Seals are not checked: `verify`
    /// does that.
    pub fn each(&self, event: &str, mut take: impl FnMut(&serde_json::Value)) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(&self.path)?);
        let mut text = Vec::new();
        while io::Read::take(&mut reader, LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut text)? > 0 {
            if let Ok(line) = serde_json::from_slice::<NamedLine>(&text)
                && line.event == event
            {
                take(&line.fields);
            }
            text.clear();
        }
        Ok(())
    }

    /// Returns the present end of the log, to be anchored elsewhere.
    pub fn head(&self) -> Head {
        self.state.lock().head
    }
}

fn io_error(path: &Path, error: &io::Error) -> AuditError {
    if files::is_full(error) {
        AuditError::DiskFull { path: path.to_owned() }
    } else {
        AuditError::Io { path: path.to_owned(), reason: error.to_string() }
    }
}

fn line_hash(body: &[u8]) -> Hash {
    Hash(hash(domain::AUDIT, &[body]))
}

fn signed(hash: &Hash) -> Vec<u8> {
    [domain::AUDIT, &hash.0[..]].concat()
}

/// Returns the whole line with its end, and its hash.
fn seal(line: &Line<'_>, key: &SigningKey) -> Result<(String, Hash), serde_json::Error> {
    let mut text = serde_json::to_string(line)?;
    // The closing brace comes back after the seal; the hash covers all before it.
    text.pop();
    let hash = line_hash(text.as_bytes());
    let signature = hex::encode(key.sign(&signed(&hash)));
    text.push_str(&format!("{SEAL_START}{hash}{SEAL_MIDDLE}{signature}{SEAL_END}\n"));
    Ok((text, hash))
}

/// Checks one line, given without its end.
fn open_line(text: &[u8], public: &PublicKey) -> Result<(ReadLine, Hash), String> {
    let Some((body, seal)) = text.len().checked_sub(SEAL_BYTES).map(|at| text.split_at(at)) else {
        return Err("it is too short".into());
    };
    let seal = std::str::from_utf8(seal).map_err(|_| "its seal is not text")?;
    let parts =
        seal.strip_prefix(SEAL_START).and_then(|s| s.strip_suffix(SEAL_END)).and_then(|s| s.split_once(SEAL_MIDDLE));
    let (hash, signature) = parts.ok_or("its seal is malformed")?;
    let expected = line_hash(body);
    if hash != expected.to_string() {
        return Err("its hash doesn't match its contents".into());
    }
    let mut bytes = [0; 64];
    let lower = !signature.bytes().any(|b| b.is_ascii_uppercase());
    if !lower || hex::decode_to_slice(signature, &mut bytes).is_err() {
        return Err("its signature is malformed".into());
    }
    if !verify_signature(public, &signed(&expected), &bytes) {
        return Err("its signature is not by this node's key".into());
    }
    let line = serde_json::from_slice(&[body, b"}"].concat()).map_err(|e| format!("it is not an audit line: {e}"))?;
    Ok((line, expected))
}

/// Finds the end of the last whole line, and the head there. Only the file's end is read, since a line is bounded.
fn read_end(file: &File, length: u64, public: &PublicKey) -> io::Result<Result<(u64, Head), AuditFault>> {
    let from = length.saturating_sub(2 * LINE_BYTES_MAX as u64 + 2);
    let mut tail = vec![0; (length - from) as usize];
    file.read_exact_at(&mut tail, from)?;
    let Some(last_end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        let fault = AuditFault { line: 1, what: "no line ends".into() };
        return Ok(if from == 0 { Ok((0, Head::default())) } else { Err(fault) });
    };
    let start = tail[..last_end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let head = match open_line(&tail[start..last_end], public) {
        Ok((line, hash)) => Head { seq: line.seq, hash },
        Err(what) => {
            let line = BufReader::new(file).split(b'\n').map_while(Result::ok).count() as u64;
            return Ok(Err(AuditFault { line, what }));
        }
    };
    Ok(Ok((from + last_end as u64 + 1, head)))
}

/// Checks every line of the log in `folder` under the node's public key; a missing log is an empty one.
pub fn verify(folder: &Path, public: &PublicKey) -> Result<Summary, AuditFault> {
    verify_anchored(folder, public, None)
}

/// Does what `verify` does, and checks that the log holds the line that `anchor` names. That detects lines missing at
/// its end.
pub fn verify_anchored(folder: &Path, public: &PublicKey, anchor: Option<&Head>) -> Result<Summary, AuditFault> {
    match File::open(folder.join(FILE_NAME)) {
        Ok(file) => verify_lines(BufReader::new(file), public, anchor),
        Err(error) if error.kind() == io::ErrorKind::NotFound => verify_lines(io::empty(), public, anchor),
        Err(error) => Err(fault(0, &format!("the file can't be opened: {error}"))),
    }
}

fn fault(line: u64, what: &str) -> AuditFault {
    AuditFault { line, what: what.to_owned() }
}

/// Does what `verify_anchored` does, for the bytes of a log from any source.
pub fn verify_lines(
    mut reader: impl BufRead,
    public: &PublicKey,
    anchor: Option<&Head>,
) -> Result<Summary, AuditFault> {
    let mut summary = Summary::default();
    let mut text = Vec::new();
    loop {
        let number = summary.head.seq + 1;
        text.clear();
        let read = io::Read::take(&mut reader, LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut text);
        if read.map_err(|e| fault(number, &format!("it can't be read: {e}")))? == 0 {
            break;
        }
        if text.pop() != Some(b'\n') {
            return Err(fault(number, "it has no end: it was cut, or is too long"));
        }
        let (line, hash) = open_line(&text, public).map_err(|what| fault(number, &what))?;
        if line.seq != number || line.prev != summary.head.hash {
            return Err(fault(number, "it doesn't follow the line before: lines were removed, added or moved"));
        }
        if anchor.is_some_and(|anchor| anchor.seq == number && anchor.hash != hash) {
            return Err(fault(number, "it is not the line that was anchored"));
        }
        summary.head = Head { seq: number, hash };
        summary.first_ts_ms = if number == 1 { line.ts_ms } else { summary.first_ts_ms };
        summary.last_ts_ms = line.ts_ms;
    }
    match anchor {
        Some(anchor) if anchor.seq > summary.head.seq => {
            Err(fault(summary.head.seq + 1, &format!("it is missing: {} lines were anchored", anchor.seq)))
        }
        _ => Ok(summary),
    }
}

#[cfg(test)]
mod tests;
