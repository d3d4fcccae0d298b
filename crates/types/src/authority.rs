//! Authorities: the keys that may act for an account, and how many of them must sign, from version 2 on.
//!
//! *Invariants:* an `Authority` is canonical (V17): its keys ascend, none of them is of small order, and at least one and
//! at most all of them must sign.

use crate::ids::Hash;
use crate::limits::AUTHORITY_KEYS_MAX;
use crate::small_order::is_small_order;
use crate::transaction::{PublicKey, Signature};
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error as ThisError;

/// A key of an authority. Keys are ordered as their encodings are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
pub enum SignerKey {
    /// An Ed25519 key.
    Ed25519(PublicKey),
}

impl SignerKey {
    fn is_small_order(&self) -> bool {
        let Self::Ed25519(key) = self;
        is_small_order(key)
    }
}

/// A signature of the key of the same kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Signature2 {
    /// An Ed25519 signature.
    Ed25519(Signature),
}

/// Reason why keys and a threshold are no authority.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
pub enum AuthorityFault {
    /// There are no keys, or too many.
    #[error("An authority has 1 to {AUTHORITY_KEYS_MAX} keys, and this one has {0}; name as many.")]
    Keys(usize),
    /// The threshold is zero or above the number of keys.
    #[error("{threshold} of {keys} keys can't be asked to sign; choose a threshold of 1 to {keys}.")]
    Threshold {
        /// The threshold.
        threshold: u8,
        /// Number of keys.
        keys: usize,
    },
    /// Keys that don't ascend, or a key that occurs twice.
    #[error("The keys of an authority ascend by their bytes, and none occurs twice; sort them.")]
    Order,
    /// The key at this place, from 0, is of small order.
    #[error("Key {0} of the authority is of small order, so anybody could sign with it; choose another key.")]
    SmallOrder(usize),
}

/// The keys that may act for an account, and the number of them that must sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    threshold: u8,
    keys: Vec<SignerKey>,
}

impl Authority {
    /// Makes an authority of a threshold and ascending keys.
    ///
    /// # Errors
    /// [`AuthorityFault`].
    pub fn new(threshold: u8, keys: Vec<SignerKey>) -> Result<Self, AuthorityFault> {
        if keys.is_empty() || keys.len() > AUTHORITY_KEYS_MAX {
            return Err(AuthorityFault::Keys(keys.len()));
        }
        if threshold == 0 || usize::from(threshold) > keys.len() {
            return Err(AuthorityFault::Threshold { threshold, keys: keys.len() });
        }
        if keys.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(AuthorityFault::Order);
        }
        match keys.iter().position(SignerKey::is_small_order) {
            Some(place) => Err(AuthorityFault::SmallOrder(place)),
            None => Ok(Self { threshold, keys }),
        }
    }

    /// Makes an authority of a threshold and keys in any order.
    ///
    /// # Errors
    /// [`AuthorityFault`].
    pub fn of_keys(threshold: u8, mut keys: Vec<SignerKey>) -> Result<Self, AuthorityFault> {
        keys.sort_unstable();
        Self::new(threshold, keys)
    }

    /// Makes the authority of one Ed25519 key.
    ///
    /// # Errors
    /// The key is of small order.
    pub fn of_key(key: PublicKey) -> Result<Self, AuthorityFault> {
        Self::new(1, vec![SignerKey::Ed25519(key)])
    }

    /// Returns the number of keys that must sign.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Returns the keys, ascending.
    pub fn keys(&self) -> &[SignerKey] {
        &self.keys
    }

    /// Returns the key of an authority that has one Ed25519 key alone.
    pub fn only_key(&self) -> Option<&PublicKey> {
        match self.keys.as_slice() {
            [SignerKey::Ed25519(key)] => Some(key),
            _ => None,
        }
    }
}

/// The authority of an account, as the account's record names it (V27).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Signer {
    /// One Ed25519 key.
    Single(PublicKey),
    /// Any other authority, by its hash.
    Many(Hash),
}

impl BorshSerialize for Authority {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        writer.write_all(&[self.threshold, self.keys.len() as u8])?;
        self.keys.iter().try_for_each(|key| key.serialize(writer))
    }
}

impl BorshDeserialize for Authority {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let threshold = u8::deserialize_reader(reader)?;
        let count = usize::from(u8::deserialize_reader(reader)?);
        let refused = |fault: AuthorityFault| Error::new(ErrorKind::InvalidData, fault.to_string());
        if count > AUTHORITY_KEYS_MAX {
            return Err(refused(AuthorityFault::Keys(count)));
        }
        let keys: IoResult<Vec<SignerKey>> = (0..count).map(|_| SignerKey::deserialize_reader(reader)).collect();
        Self::new(threshold, keys?).map_err(refused)
    }
}
