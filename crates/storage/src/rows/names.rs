//! Index keys of format 5. A key ends with the position that it leads to, and has no contents and no seal.
//!
//! *Invariants:* a key is a hint: who follows it compares what it finds with what was asked for.
//!
//! | key | leads to |
//! |---|---|
//! | `T` ⟨transaction id⟩ height⁶ receipt³ | the receipt and its transaction |
//! | `A` ⟨account⟩ height⁶ receipt³ | a transaction that touched the account |
//! | `B` ⟨block digest⟩ height⁶ | the height |
//! | `L` ⟨batch digest⟩ height⁶ n² | the n-th batch of the height |

use super::{IndexPrefix, NAMED_BYTES, Table, named, wrong_key};
use crate::store::StoreError;
use rustorium_crypto::seal::KeyedHash;
use rustorium_types::{AccountId, BatchDigest, BlockDigest, Height, TxId};

/// The first height that no index key can hold.
pub(crate) const HEIGHTS_END: u64 = 1 << 48;
/// The first receipt index that no index key can hold.
pub(crate) const RECEIPTS_END: usize = 1 << 24;
const HEIGHT_BYTES: usize = 6;
const TRANSACTION: u8 = b'T';
const ACCOUNT: u8 = b'A';
const BLOCK: u8 = b'B';
const BATCH: u8 = b'L';

/// Tells if an index key is of format 5.
pub(crate) fn is_bare(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(TRANSACTION | ACCOUNT | BLOCK | BATCH)))
}

pub(crate) fn bare_block_name(names: &KeyedHash, digest: &BlockDigest) -> IndexPrefix {
    named(names, BLOCK, &digest.0)
}

pub(crate) fn bare_batch_name(names: &KeyedHash, digest: &BatchDigest) -> IndexPrefix {
    named(names, BATCH, &digest.0)
}

pub(crate) fn bare_transaction_name(names: &KeyedHash, id: &TxId) -> IndexPrefix {
    named(names, TRANSACTION, &id.0)
}

pub(crate) fn bare_account_name(names: &KeyedHash, account: &AccountId) -> IndexPrefix {
    named(names, ACCOUNT, &account.0)
}

/// An index key of format 5.
pub(crate) struct BareKey {
    bytes: [u8; NAMED_BYTES + HEIGHT_BYTES + 3],
    length: usize,
}

impl AsRef<[u8]> for BareKey {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Makes the key of a name at a height. The position within the height are the last bytes of `place`: three for a
/// receipt, two for a batch, none for a block.
pub(crate) fn bare_key(name: &IndexPrefix, height: Height, place: u32) -> BareKey {
    let mut bytes = [0; NAMED_BYTES + HEIGHT_BYTES + 3];
    let (head, tail) = bytes.split_at_mut(NAMED_BYTES + HEIGHT_BYTES);
    head[..NAMED_BYTES].copy_from_slice(name);
    head[NAMED_BYTES..].copy_from_slice(&height.0.to_be_bytes()[8 - HEIGHT_BYTES..]);
    let place = place.to_be_bytes();
    let length = match name[0] {
        BLOCK => 0,
        BATCH => {
            tail[..2].copy_from_slice(&place[2..]);
            2
        }
        _ => {
            tail.copy_from_slice(&place[1..]);
            3
        }
    };
    BareKey { bytes, length: NAMED_BYTES + HEIGHT_BYTES + length }
}

/// Decodes the height of such a key, and the position within the height.
pub(crate) fn bare_position(key: &[u8]) -> Result<(Height, u32), StoreError> {
    let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let position = key.get(NAMED_BYTES..).and_then(|rest| rest.split_at_checked(HEIGHT_BYTES));
    let (height, place) = position.ok_or_else(|| wrong_key(Table::Index, key))?;
    let right = match key.first() {
        Some(&BLOCK) => place.is_empty(),
        Some(&BATCH) => place.len() == 2,
        Some(&(TRANSACTION | ACCOUNT)) => place.len() == 3,
        _ => false,
    };
    if right { Ok((Height(big_endian(height)), big_endian(place) as u32)) } else { Err(wrong_key(Table::Index, key)) }
}
