//! Sealing of a node's data on disk: AES-256-GCM under subkeys of its master key, which also keys the hashes of names.
//!
//! *Invariants:* a subkey that seals comes from a salt that was drawn for it and is used up by it, so its nonces can be
//! counted from zero in memory: no restart, restore or copy of a disk repeats one; a sealed row opens only at its own
//! place; keys and round keys are in locked memory.
//!
//! | sealed bytes | |
//! |---|---|
//! | key version | 4, little-endian: which salt the subkey comes from |
//! | count | 6, little-endian: the nonce, as 96 bits big-endian |
//! | ciphertext | as long as what was sealed |
//! | tag | 16 |
//!
//! Source: NIST SP 800-38D, section 8.2.1 (deterministic construction of the nonce); BLAKE3's `derive_key` mode.

mod backup;
mod log;
mod rekey;

pub use backup::{BACKUP_OVERHEAD, BackupKey, ObjectRefused};
pub use log::{LogOpener, LogSealer};
pub use rekey::CARRIED_BYTES;

use crate::locked::Locked;
use getrandom::SysRng;
use rand_core::TryRng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use rustorium_types::ChainId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a master key.
pub const MASTER_KEY_BYTES: usize = 32;
/// Bytes before the ciphertext.
pub const HEAD_BYTES: usize = 10;
/// Bytes after the ciphertext.
pub const TAG_BYTES: usize = 16;
/// The longest key of a row.
pub const PLACE_KEY_BYTES_MAX: usize = 128;
/// Number of seals under one subkey: the largest count. GCM's own bound (2^64 blocks) is far above.
const COUNT_MAX: u64 = 1 << 48;
/// Subkeys that an opener keeps ready. The others are derived again when a row needs them.
const OPENERS_MAX: usize = 32;
const PLACE_BYTES: usize = 38;

const ROWS: &str = "rustorium 2026 at rest: rows v1";
const JOURNAL: &str = "rustorium 2026 at rest: journal v1";

/// Data can't be sealed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SealError {
    /// The bytes are not a master key.
    #[error("a storage key has 32 bytes and this one {0}: restore storage.key from its backup")]
    WrongSize(usize),
    /// The operating system gave no randomness.
    #[error("the system gives no random bytes ({0}): check /dev/urandom, then restart the node")]
    Random(String),
    /// The operating system gave no memory.
    #[error("there is no memory for a key ({0}): free some, then restart the node")]
    Memory(String),
    /// All nonces of a subkey are used.
    #[error("this key version has sealed its maximum: restart the node, which then draws a new version")]
    UsedUp,
    /// The position isn't after the previous one.
    #[error("position {0} of a log was sealed already: restart the node, which then begins a new segment")]
    Position(u64),
    /// The row's key is longer than any.
    #[error("a row's key of {0} bytes is over the limit of 128: report this as a fault of the program")]
    KeyTooLong(usize),
    /// The caller left no room for the head.
    #[error("a row has no room for its seal: report this as a fault of the program")]
    NoRoom,
}

/// Sealed bytes don't open.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// There are fewer bytes than a seal has.
    #[error("it is shorter than a seal")]
    Short,
    /// There is no salt of the key version.
    #[error("the key file has no key version {0}")]
    UnknownVersion(u32),
    /// The bytes were altered, moved, or sealed by another key.
    #[error("its seal doesn't fit: it was altered, or belongs to another place")]
    Altered,
    /// The subkey can't be derived.
    #[error("{0}")]
    Key(#[from] SealError),
}

/// A node's master key for its data on disk, in locked memory.
pub struct MasterKey(Locked<[u8; MASTER_KEY_BYTES]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Creates a master key from the secret of a `storage.key`. The caller wipes its own copy.
    pub fn from_secret(secret: &[u8]) -> Result<Self, SealError> {
        let key = <&[u8; MASTER_KEY_BYTES]>::try_from(secret).map_err(|_| SealError::WrongSize(secret.len()))?;
        Locked::copy_of(key).map(Self).map_err(no_memory)
    }

    /// Draws the secret of a new key, for the keystore.
    pub fn draw() -> Result<Zeroizing<[u8; MASTER_KEY_BYTES]>, SealError> {
        let mut secret = Zeroizing::new([0; MASTER_KEY_BYTES]);
        SysRng.try_fill_bytes(&mut *secret).map_err(|error| SealError::Random(error.to_string()))?;
        Ok(secret)
    }

    /// Derives 32 bytes for one context and salt (BLAKE3 `derive_key`).
    fn derive(&self, context: &str, salt: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&*self.0);
        hasher.update(salt);
        let mut key = Zeroizing::new([0; 32]);
        let mut output = hasher.finalize_xof();
        output.fill(&mut *key);
        output.zeroize();
        hasher.zeroize();
        key
    }

    fn cipher(&self, context: &str, salt: &Salt) -> Result<Cipher, SealError> {
        Cipher::new(&self.derive(context, &salt.0))
    }
}

fn no_memory(error: std::io::Error) -> SealError {
    SealError::Memory(error.to_string())
}

/// The salt from which, with the master key, a subkey is derived. It is not secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(pub [u8; 16]);

/// A salt under which nothing was sealed yet. It is the only way to a subkey that seals, which uses it up.
#[derive(Debug)]
pub struct FreshSalt(Salt);

impl FreshSalt {
    /// Draws a salt from the operating system.
    pub fn draw() -> Result<Self, SealError> {
        let mut salt = [0; 16];
        SysRng.try_fill_bytes(&mut salt).map_err(|error| SealError::Random(error.to_string()))?;
        Ok(Self(Salt(salt)))
    }

    /// Returns its bytes, which must be on disk before anything is sealed.
    pub fn salt(&self) -> Salt {
        self.0
    }
}

/// The use of a keyed hash. Each use has its own key, derived from the master key alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashUse {
    /// Names of rows that are looked up by digest.
    Names,
    /// The file of key versions.
    KeyFile,
    /// Headers of the safety journal.
    JournalHeader,
}

impl HashUse {
    fn context(self) -> &'static str {
        match self {
            Self::Names => "rustorium 2026 at rest: names v1",
            Self::KeyFile => "rustorium 2026 at rest: key file v1",
            Self::JournalHeader => "rustorium 2026 at rest: journal header v1",
        }
    }
}

/// A BLAKE3 hash that only the holder of the master key can make or check.
#[derive(Debug)]
pub struct KeyedHash(Locked<[u8; 32]>);

impl KeyedHash {
    /// Returns the first 16 bytes of the hash of a tag and the parts. The caller keeps the parts unambiguous.
    pub fn of(&self, tag: u8, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[tag]);
        for part in parts {
            hasher.update(part);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        half
    }

    /// Returns the whole hash: for names for which nobody may be able to make two contents.
    pub(crate) fn whole(&self, tag: u8, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[tag]);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

/// A node's master key and the chain of everything that is sealed; and the previous key, while it still opens data.
#[derive(Clone, Debug)]
pub struct AtRest {
    master: Arc<MasterKey>,
    before: Option<Arc<MasterKey>>,
    chain: ChainId,
}

impl AtRest {
    /// Creates the keys of a master key, for this chain.
    pub fn new(master: Arc<MasterKey>, chain: ChainId) -> Self {
        Self { master, before: None, chain }
    }

    /// Returns the chain.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Returns a sealer of rows under the subkey of a fresh salt, which has this version from now on.
    pub fn row_sealer(&self, fresh: FreshSalt, version: u32) -> Result<Sealer, SealError> {
        let cipher = self.master.cipher(ROWS, &fresh.0)?;
        Ok(Sealer { cipher, chain: self.chain, version, next: AtomicU64::new(0) })
    }

    /// Returns an opener of rows. It knows no version until `Opener::add` adds one.
    pub fn row_opener(&self) -> Opener {
        let (salts, ready) = (RwLock::default(), RwLock::default());
        Opener { master: self.master.clone(), chain: self.chain, salts, ready }
    }

    /// Returns a sealer for the records of a log whose positions only grow.
    pub fn log_sealer(&self, fresh: FreshSalt) -> Result<LogSealer, SealError> {
        Ok(LogSealer::new(self.master.cipher(JOURNAL, &fresh.0)?, self.chain))
    }

    /// Returns an opener for the records of the log with this salt.
    pub fn log_opener(&self, salt: &Salt) -> Result<LogOpener, SealError> {
        Ok(LogOpener::new(self.master.cipher(JOURNAL, salt)?, self.chain))
    }

    /// Returns the keyed hash of a use.
    pub fn keyed(&self, purpose: HashUse) -> Result<KeyedHash, SealError> {
        let key = self.master.derive(purpose.context(), &[]);
        Locked::copy_of(&key).map(KeyedHash).map_err(no_memory)
    }
}

/// The place of a row, to which its seal is bound, in addition to the chain and the key version.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: u8,
    /// The version of the row's format.
    pub format: u8,
    /// The row's key.
    pub key: &'a [u8],
}

impl Place<'_> {
    /// Calls `then` with the associated data: fixed sizes, then the key as the last part.
    fn with<T>(&self, chain: &ChainId, version: u32, then: impl FnOnce(&[u8]) -> T) -> Result<T, SealError> {
        let mut bytes = [0; PLACE_BYTES + PLACE_KEY_BYTES_MAX];
        let length = PLACE_BYTES + self.key.len();
        let key = bytes.get_mut(PLACE_BYTES..length).ok_or(SealError::KeyTooLong(self.key.len()))?;
        key.copy_from_slice(self.key);
        bytes[..32].copy_from_slice(&chain.0);
        bytes[32..36].copy_from_slice(&version.to_le_bytes());
        bytes[36..PLACE_BYTES].copy_from_slice(&[self.table, self.format]);
        Ok(then(&bytes[..length]))
    }
}

/// AES-256-GCM under one key, whose round keys are in locked memory.
pub(crate) struct Cipher(Locked<LessSafeKey>);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, SealError> {
        // The library refuses keys of another length.
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::WrongSize(key.len()))?;
        Locked::new(LessSafeKey::new(key)).map(Self).map_err(no_memory)
    }

    fn nonce(count: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&count.to_be_bytes());
        nonce
    }

    /// Seals in place. Only for nonces that this key never sealed under before.
    pub(crate) fn seal_under(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], SealError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), data);
        // The library refuses only more than 64 GiB at once, which no row has.
        tag.ok().and_then(|tag| tag.as_ref().try_into().ok()).ok_or(SealError::NoRoom)
    }

    /// Opens in place. If that fails, nothing of `data` is left.
    pub(crate) fn open_under(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        let (nonce, tag) = (Nonce::assume_unique_for_key(nonce), Tag::from(*tag));
        self.0.open_in_place_separate_tag(nonce, Aad::from(associated), tag, data, 0..).is_ok()
    }

    /// Seals in place. Only for counts that this subkey never sealed under before.
    fn seal(&self, count: u64, associated: &[u8], data: &mut [u8]) -> Result<[u8; TAG_BYTES], SealError> {
        self.seal_under(Self::nonce(count), associated, data)
    }

    fn open(&self, count: u64, associated: &[u8], data: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        self.open_under(Self::nonce(count), associated, data, tag)
    }
}

/// A sealer of rows under one key version; safe to share.
pub struct Sealer {
    cipher: Cipher,
    chain: ChainId,
    version: u32,
    next: AtomicU64,
}

impl Sealer {
    /// Returns the key version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Seals `row[at + HEAD_BYTES..]` in place. The head goes before it, into room that the caller left, and the tag
    /// after it. Errors: no room, a key over the limit, all nonces used; then the row must not be stored.
    pub fn seal(&self, place: &Place<'_>, row: &mut Vec<u8>, at: usize) -> Result<(), SealError> {
        let (head, data) =
            row.get_mut(at..).and_then(|row| row.split_first_chunk_mut::<HEAD_BYTES>()).ok_or(SealError::NoRoom)?;
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        if count >= COUNT_MAX {
            return Err(SealError::UsedUp);
        }
        head[..4].copy_from_slice(&self.version.to_le_bytes());
        head[4..].copy_from_slice(&count.to_le_bytes()[..6]);
        let seal = |associated: &[u8]| self.cipher.seal(count, associated, data);
        let tag = place.with(&self.chain, self.version, seal)??;
        row.extend_from_slice(&tag);
        Ok(())
    }
}

/// Returns the key version in the head of sealed bytes.
pub fn version_of(sealed: &[u8]) -> Option<u32> {
    sealed.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// An opener of rows of all key versions that were added; safe to share.
pub struct Opener {
    master: Arc<MasterKey>,
    chain: ChainId,
    /// Master key and salt of each version's subkey.
    salts: RwLock<BTreeMap<u32, (Arc<MasterKey>, Salt)>>,
    ready: RwLock<Vec<Ready>>,
}

struct Ready {
    version: u32,
    cipher: Arc<Cipher>,
    /// True if it was used since the last search for one to drop.
    used: AtomicBool,
}

impl Opener {
    /// Adds a version's salt, for the master key that the opener was made of.
    pub fn add(&self, version: u32, salt: Salt) {
        self.put(version, self.master.clone(), salt);
    }

    fn put(&self, version: u32, master: Arc<MasterKey>, salt: Salt) {
        self.salts.write().unwrap_or_else(PoisonError::into_inner).insert(version, (master, salt));
    }

    /// Opens bytes that were sealed at this place.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (head, rest) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(OpenError::Short)?;
        let (data, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(OpenError::Short)?;
        let mut count = [0; 8];
        count[..6].copy_from_slice(&head[4..]);
        let version = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let cipher = self.cipher(version)?;
        let mut out = data.to_vec();
        let open = |associated: &[u8]| cipher.open(u64::from_le_bytes(count), associated, &mut out, tag);
        let good = place.with(&self.chain, version, open)?;
        if good { Ok(out) } else { Err(OpenError::Altered) }
    }

    fn cipher(&self, version: u32) -> Result<Arc<Cipher>, OpenError> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = ready.iter().find(|ready| ready.version == version) {
            found.used.store(true, Ordering::Relaxed);
            return Ok(found.cipher.clone());
        }
        drop(ready);
        let found = self.salts.read().unwrap_or_else(PoisonError::into_inner).get(&version).cloned();
        let (master, salt) = found.ok_or(OpenError::UnknownVersion(version))?;
        let cipher = Arc::new(master.cipher(ROWS, &salt)?);
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.len() >= OPENERS_MAX {
            // The clock algorithm: the first one that was not used since the last round is dropped, and all marks are
            // reset.
            let idle = ready.iter().position(|ready| !ready.used.swap(false, Ordering::Relaxed));
            ready.remove(idle.unwrap_or(0));
        }
        ready.push(Ready { version, cipher: cipher.clone(), used: AtomicBool::new(true) });
        Ok(cipher)
    }
}

#[cfg(test)]
mod tests;
