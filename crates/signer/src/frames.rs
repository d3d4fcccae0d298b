//! The requests that a client sends, taken out of its connection's bytes.
//!
//! *Invariants:* a frame is complete before it is decoded, and its length is bounded before bytes for it are kept.

use crate::protocol::{FRAME_BYTES_MAX, LENGTH_BYTES, Request, invalid, split_frame};
use rustorium_types::decode;
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;

/// Number of requests whose records are synced together.
const TOGETHER_MAX: usize = 256;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Bytes that a connection has sent.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Waits for the next requests and returns all complete ones; `None` if the client is gone. Errors: those of the
    /// stream; a malformed frame; a frame that isn't complete in time.
    pub(crate) fn next(&mut self, stream: &mut UnixStream) -> io::Result<Option<Vec<Request>>> {
        loop {
            let requests = self.take()?;
            if !requests.is_empty() {
                return Ok(Some(requests));
            }
            let start = self.bytes.len();
            let wanted = self.missing().clamp(READ_BYTES, FRAME_BYTES_MAX + LENGTH_BYTES);
            self.bytes.resize(start + wanted, 0);
            let read = stream.read(self.bytes.get_mut(start..).unwrap_or_default());
            self.bytes.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A client may be silent between its frames for as long as it likes.
                Err(error) if error.kind() == ErrorKind::WouldBlock && start == 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the number of bytes that the first frame lacks, if its length is known.
    fn missing(&self) -> usize {
        let length = self.bytes.first_chunk::<LENGTH_BYTES>().map_or(0, |length| u32::from_le_bytes(*length) as usize);
        (LENGTH_BYTES + length).saturating_sub(self.bytes.len())
    }

    fn take(&mut self) -> io::Result<Vec<Request>> {
        let (mut requests, mut at) = (Vec::new(), 0);
        while requests.len() < TOGETHER_MAX {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some((frame, end)) = split_frame(rest).map_err(|error| invalid(&error))? else { break };
            requests.push(decode(frame, FRAME_BYTES_MAX).map_err(|error| invalid(&error))?);
            at += end;
        }
        self.bytes.drain(..at);
        Ok(requests)
    }
}
