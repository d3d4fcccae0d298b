//! Keys of the pool: from one seed a spending key, a viewing key for everything, one for incoming value, and an
//! address.
//!
//! ```text
//! seed, account ─► spend authority ┐
//!               ─► nullifier key   ┴─► owner ┐
//!               ─► incoming secret ─► public ┴─► address
//!               ─► outgoing key
//! ```
//! As in Zcash's Sapling, each right has its own key: spending needs the authority, seeing spends the nullifier key,
//! seeing incoming value the incoming secret, and seeing outgoing value the outgoing key.

use bech32::{Bech32m, Hrp};
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::ShieldedError;
use super::field::{Stream, element_bytes, element_from_bytes};
use super::note::{NullifierKey, Owner, SpendAuthority, owner};
use crate::SCALAR_BYTES;

/// A wallet's key that spends.
const SPEND: &[u8] = b"rustorium/shielded-spend-key/v1\0";
/// A wallet's key of nullifiers.
const NULLIFY: &[u8] = b"rustorium/shielded-nullifier-key/v1\0";
/// A wallet's key that sees what comes in.
const INCOMING: &[u8] = b"rustorium/shielded-incoming-key/v1\0";
/// A wallet's key that sees what goes out.
const OUTGOING: &[u8] = b"rustorium/shielded-outgoing-key/v1\0";

/// Prefix of an address in text form.
const ADDRESS_PREFIX: Hrp = Hrp::parse_unchecked("rsz");
/// Prefix of an incoming viewing key in text form.
const INCOMING_PREFIX: Hrp = Hrp::parse_unchecked("rszin");
/// Prefix of a full viewing key in text form.
const FULL_PREFIX: Hrp = Hrp::parse_unchecked("rszall");

/// Bytes of an encoded address.
pub const ADDRESS_BYTES: usize = 64;

/// An address that value is sent to: the owner of the notes, and the key to which they are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// The owner of the note.
    pub owner: Owner,
    /// X25519 public key of the receiver.
    pub transmission: [u8; 32],
}

impl Address {
    /// Encodes the address: owner, then transmission key.
    pub fn to_bytes(&self) -> [u8; ADDRESS_BYTES] {
        let mut out = [0; ADDRESS_BYTES];
        out[..32].copy_from_slice(&element_bytes(&self.owner.0));
        out[32..].copy_from_slice(&self.transmission);
        out
    }

    /// Decodes an address. An X25519 key has several encodings; only the one below 2²⁵⁵ − 19 is accepted.
    pub fn from_bytes(bytes: &[u8; ADDRESS_BYTES]) -> Result<Self, ShieldedError> {
        let (owner, transmission) = split(bytes);
        if !is_below_25519(&transmission) {
            return Err(ShieldedError::Address("its transmission key isn't in the one form"));
        }
        Ok(Self { owner: Owner(element_from_bytes(&owner)?), transmission })
    }

    /// Parses an address in text form, and checks its checksum.
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

/// Tells if a little-endian number is below 2²⁵⁵ − 19.
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

/// A key that sees incoming value, with memos. It sees no spend, and can't spend.
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

    /// Returns the address that it watches.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Returns the key as text, for a person who may see incoming value.
    pub fn reveal(&self) -> Result<Zeroizing<String>, ShieldedError> {
        let mut bytes = Zeroizing::new([0; 2 * 32]);
        bytes[..32].copy_from_slice(&element_bytes(&self.address.owner.0));
        bytes[32..].copy_from_slice(&self.secret);
        encode_key(INCOMING_PREFIX, bytes.as_slice())
    }

    /// Parses a key in text form.
    pub fn parse(text: &str) -> Result<Self, ShieldedError> {
        let bytes = decode::<64>(INCOMING_PREFIX, text)
            .ok_or(ShieldedError::ViewingKey("it must be 64 bytes in bech32m that begin with rszin1"))?;
        let bytes = Zeroizing::new(bytes);
        let (owner, secret) = split(&bytes);
        Ok(Self::new(Owner(element_from_bytes(&owner)?), secret))
    }
}

/// A key that sees everything of an account: incoming value, spends, and outgoing value with receivers. It can't spend.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct FullViewingKey {
    pub(super) incoming: IncomingViewingKey,
    pub(super) nullifier_key: NullifierKey,
    pub(super) outgoing: [u8; 32],
}

impl FullViewingKey {
    /// Returns the address that it watches.
    pub fn address(&self) -> Address {
        self.incoming.address()
    }

    /// Returns the part that sees only incoming value.
    pub fn incoming(&self) -> &IncomingViewingKey {
        &self.incoming
    }

    /// Returns the key that makes its notes' nullifiers.
    pub fn nullifier_key(&self) -> &NullifierKey {
        &self.nullifier_key
    }

    /// Returns the key as text, for an auditor.
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

    /// Parses a key in text form.
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

/// A key that spends, and sees everything.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SpendingKey {
    pub(super) authority: SpendAuthority,
    pub(super) viewing: FullViewingKey,
}

impl SpendingKey {
    /// Derives the key of an account's number from a seed, which must be 32 random bytes.
    pub fn derive(seed: &[u8; 32], account: u32) -> Self {
        let account = account.to_le_bytes();
        let stream = |domain: &[u8]| Stream::new(domain, &[seed, &account]);
        let authority = SpendAuthority(stream(SPEND).element());
        let nullifier_key = NullifierKey(stream(NULLIFY).element());
        let owner = owner(&authority, &nullifier_key);
        let incoming = IncomingViewingKey::new(owner, stream(INCOMING).bytes());
        Self { authority, viewing: FullViewingKey { incoming, nullifier_key, outgoing: stream(OUTGOING).bytes() } }
    }

    /// Returns the address at which it receives.
    pub fn address(&self) -> Address {
        self.viewing.address()
    }

    /// Returns the part that sees everything and spends nothing.
    pub fn viewing(&self) -> &FullViewingKey {
        &self.viewing
    }
}
