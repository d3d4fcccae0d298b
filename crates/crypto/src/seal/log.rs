//! Sealing the records of a log.
//!
//! *Invariants:* a position is sealed at most once, whatever happened to the record.

use super::{Cipher, Place, SealError, TAG_BYTES};
use rustorium_types::ChainId;

/// A sealer of the records of one log. A record's position is its nonce, so positions must grow.
pub struct LogSealer {
    cipher: Cipher,
    chain: ChainId,
    next: u64,
}

impl LogSealer {
    pub(super) fn new(cipher: Cipher, chain: ChainId) -> Self {
        Self { cipher, chain, next: 0 }
    }

    /// Seals `data` in place, bound to its position and to `head`, which stays readable. Returns the tag.
    pub fn seal_at(&mut self, position: u64, head: &[u8], data: &mut [u8]) -> Result<[u8; TAG_BYTES], SealError> {
        if position < self.next {
            return Err(SealError::Position(position));
        }
        self.next = position.checked_add(1).ok_or(SealError::UsedUp)?;
        log_place(head).with(&self.chain, 0, |associated| self.cipher.seal(position, associated, data))?
    }
}

/// An opener of the records of one log.
pub struct LogOpener {
    cipher: Cipher,
    chain: ChainId,
}

impl LogOpener {
    pub(super) fn new(cipher: Cipher, chain: ChainId) -> Self {
        Self { cipher, chain }
    }

    /// Opens `data` in place. Returns false, and erases it, unless it was sealed at this position with this head.
    pub fn open_at(&self, position: u64, head: &[u8], data: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        let open = |associated: &[u8]| self.cipher.open(position, associated, data, tag);
        log_place(head).with(&self.chain, 0, open) == Ok(true)
    }
}

fn log_place(head: &[u8]) -> Place<'_> {
    Place { table: 0, format: 0, key: head }
}
