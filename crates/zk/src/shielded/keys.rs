//! Keys of the pool: one seed makes a spending key, a viewing key for all that it does, one for what comes in, and an
//! address.
//!
//! ```text
//! seed, account ─► spend authority ┐
//!               ─► nullifier key   ┴─► owner ┐
//!               ─► incoming secret ─► public ┴─► address
//!               ─► outgoing key
//! ```
//! As in Zcash's Sapling, each right is a key of its own: spending needs the authority, seeing spends the nullifier key,
//! seeing what came in the incoming secret, seeing what went out the outgoing key.

use bech32::{Bech32m, Hrp};
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::ShieldedError;
use super::field::{Stream, element_bytes, element_from_bytes};
use super::note::{NullifierKey, Owner, SpendAuthority, owner};
use crate::SCALAR_BYTES;

const SPEND: &[u8] = b"rustorium/shielded-spend-key/v1\0";
const NULLIFY: &[u8] = b"rustorium/shielded-nullifier-key/v1\0";
const INCOMING: &[u8] = b"rustorium/shielded-incoming-key/v1\0";
const OUTGOING: &[u8] = b"rustorium/shielded-outgoing-key/v1\0";

/// What an address's text begins with.
const ADDRESS_PREFIX: Hrp = Hrp::parse_unchecked("rsz");
/// What an incoming viewing key's text begins with.
const INCOMING_PREFIX: Hrp = Hrp::parse_unchecked("rszin");
/// What a full viewing key's text begins with.
const FULL_PREFIX: Hrp = Hrp::parse_unchecked("rszall");

/// Bytes of an encoded address.
pub const ADDRESS_BYTES: usize = 64;

/// Where value is sent to: whose notes are made, and the key that they are encrypted to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// Who will own the note.
    pub owner: Owner,
    /// X25519 public key of the receiver.
    pub transmission: [u8; 32],
}

impl Address {
    /// Its one encoding: owner, then transmission key.
    pub fn to_bytes(&self) -> [u8; ADDRESS_BYTES] {
        let mut out = [0; ADDRESS_BYTES];
        out[..32].copy_from_slice(&element_bytes(&self.owner.0));
        out[32..].copy_from_slice(&self.transmission);
        out
    }

    /// The address that `bytes` encode. Of an X25519 key's several encodings only the one below 2²⁵⁵ − 19 is taken.
    pub fn from_bytes(bytes: &[u8; ADDRESS_BYTES]) -> Result<Self, ShieldedError> {
        let (owner, transmission) = split(bytes);
        if !is_below_25519(&transmission) {
            return Err(ShieldedError::Address("its transmission key isn't in the one form"));
        }
        Ok(Self { owner: Owner(element_from_bytes(&owner)?), transmission })
    }

    /// The address that a text names, its checksum checked.
    pub fn parse(text: &str) -> Result<Self, ShieldedError> {
        let bytes = decode::<ADDRESS_BYTES>(ADDRESS_PREFIX, text)
            .ok_or(ShieldedError::Address("it must be 64 bytes in bech32m that begin with rsz1"))?;
        Self::from_bytes(&bytes)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode::<Bech32m>(ADDRESS_PREFIX, &self.to_bytes()).map_err(|_| fmt::Error)?)
    }
}

fn split(bytes: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut low, mut high) = ([0; 32], [0; 32]);
    low.copy_from_slice(&bytes[..32]);
    high.copy_from_slice(&bytes[32..]);
    (low, high)
}

/// Whether a little-endian number is below 2²⁵⁵ − 19.
pub(super) fn is_below_25519(bytes: &[u8; 32]) -> bool {
    let top_is_full = bytes[31] == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff);
    bytes[31] < 0x80 && !(top_is_full && bytes[0] >= 0xed)
}

fn decode<const N: usize>(prefix: Hrp, text: &str) -> Option<[u8; N]> {
    let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text).ok()?;
    let bytes = Zeroizing::new(checked.byte_iter().collect::<Vec<u8>>());
    let canonical = bech32::encode::<Bech32m>(prefix, &bytes).ok()? == text.to_ascii_lowercase();
    if canonical { bytes.as_slice().try_into().ok() } else { None }
}

/// Sees what comes in, with memos. It sees no spend, and can't spend.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct IncomingViewingKey {
    #[zeroize(skip)]
    address: Address,
    pub(super) secret: [u8; 32],
}

impl IncomingViewingKey {
    fn new(owner: Owner, secret: [u8; 32]) -> Self {
        let transmission = PublicKey::from(&StaticSecret::from(secret)).to_bytes();
        Self { address: Address { owner, transmission }, secret }
    }

    /// The address that it watches.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Its text, for whoever is to see what comes in.
    pub fn reveal(&self) -> Result<Zeroizing<String>, ShieldedError> {
        let mut bytes = Zeroizing::new([0; 2 * 32]);
        bytes[..32].copy_from_slice(&element_bytes(&self.address.owner.0));
        bytes[32..].copy_from_slice(&self.secret);
        encode_key(INCOMING_PREFIX, bytes.as_slice())
    }

    /// The key that a text holds.
    pub fn parse(text: &str) -> Result<Self, ShieldedError> {
        let bytes = decode::<64>(INCOMING_PREFIX, text)
            .ok_or(ShieldedError::ViewingKey("it must be 64 bytes in bech32m that begin with rszin1"))?;
        let bytes = Zeroizing::new(bytes);
        let (owner, secret) = split(&bytes);
        Ok(Self::new(Owner(element_from_bytes(&owner)?), secret))
    }
}

/// Sees all that an account does: what comes in, what was spent, what went out to whom. It can't spend.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct FullViewingKey {
    pub(super) incoming: IncomingViewingKey,
    pub(super) nullifier_key: NullifierKey,
    pub(super) outgoing: [u8; 32],
}

impl FullViewingKey {
    /// The address that it watches.
    pub fn address(&self) -> Address {
        self.incoming.address()
    }

    /// The part that sees only what comes in.
    pub fn incoming(&self) -> &IncomingViewingKey {
        &self.incoming
    }

    /// What makes its notes' nullifiers.
    pub fn nullifier_key(&self) -> &NullifierKey {
        &self.nullifier_key
    }

    /// Its text, for an auditor.
    pub fn reveal(&self) -> Result<Zeroizing<String>, ShieldedError> {
        let mut bytes = Zeroizing::new([0; 4 * 32]);
        let owner = element_bytes(&self.incoming.address.owner.0);
        let nullifier_key = Zeroizing::new(element_bytes(&self.nullifier_key.0));
        let parts = [&owner, &self.incoming.secret, &*nullifier_key, &self.outgoing];
        for (chunk, part) in bytes.chunks_exact_mut(SCALAR_BYTES).zip(parts) {
            chunk.copy_from_slice(part);
        }
        encode_key(FULL_PREFIX, bytes.as_slice())
    }

    /// The key that a text holds.
    pub fn parse(text: &str) -> Result<Self, ShieldedError> {
        let bytes = decode::<128>(FULL_PREFIX, text)
            .ok_or(ShieldedError::ViewingKey("it must be 128 bytes in bech32m that begin with rszall1"))?;
        let bytes = Zeroizing::new(bytes);
        let mut parts = Zeroizing::new([[0; 32]; 4]);
        for (part, chunk) in parts.iter_mut().zip(bytes.chunks_exact(32)) {
            part.copy_from_slice(chunk);
        }
        let incoming = IncomingViewingKey::new(Owner(element_from_bytes(&parts[0])?), parts[1]);
        Ok(Self { incoming, nullifier_key: NullifierKey(element_from_bytes(&parts[2])?), outgoing: parts[3] })
    }
}

fn encode_key(prefix: Hrp, bytes: &[u8]) -> Result<Zeroizing<String>, ShieldedError> {
    let text = bech32::encode::<Bech32m>(prefix, bytes).map_err(|_| ShieldedError::ViewingKey("it is too long"))?;
    Ok(Zeroizing::new(text))
}

/// Spends, and sees everything.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SpendingKey {
    pub(super) authority: SpendAuthority,
    pub(super) viewing: FullViewingKey,
}

impl SpendingKey {
    /// The key of an account's number under a seed, which must be 32 random bytes.
    pub fn derive(seed: &[u8; 32], account: u32) -> Self {
        let account = account.to_le_bytes();
        let stream = |domain: &[u8]| Stream::new(domain, &[seed, &account]);
        let authority = SpendAuthority(stream(SPEND).element());
        let nullifier_key = NullifierKey(stream(NULLIFY).element());
        let owner = owner(&authority, &nullifier_key);
        let incoming = IncomingViewingKey::new(owner, stream(INCOMING).bytes());
        Self { authority, viewing: FullViewingKey { incoming, nullifier_key, outgoing: stream(OUTGOING).bytes() } }
    }

    /// Where it receives.
    pub fn address(&self) -> Address {
        self.viewing.address()
    }

    /// The part that sees everything and spends nothing.
    pub fn viewing(&self) -> &FullViewingKey {
        &self.viewing
    }
}
