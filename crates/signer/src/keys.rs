//! The signer's keys: from a sealed file, in locked memory, or in a token that never gives them out.

use crate::pkcs11::TokenKey;
use rustorium_crypto::SigningKey;
use rustorium_crypto::{domain, hash::signed_bytes, vote_bytes};
use rustorium_types::{BatchDigest, PossessionBody, PublicKey, Signature, TransactionBody, VoteBody};

/// What a key is for: it signs nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Votes, batches and proofs of possession, guarded.
    Validator,
    /// Transactions.
    Account,
}

/// A key that signs.
pub enum Key {
    /// In this process.
    File(SigningKey),
    /// In a token.
    Token(Box<TokenKey>),
}

impl Key {
    /// The public key.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::File(key) => key.public(),
            Self::Token(key) => key.public(),
        }
    }

    /// Signs a vote.
    ///
    /// # Errors
    /// What the token says.
    pub fn vote(&self, body: &VoteBody) -> Result<Signature, String> {
        self.sign(&vote_bytes(body))
    }

    /// Signs a batch of this digest.
    ///
    /// # Errors
    /// What the token says.
    pub fn batch(&self, digest: &BatchDigest) -> Result<Signature, String> {
        self.sign(&[domain::BATCH_SIGNATURE, &digest.0[..]].concat())
    }

    /// Signs a transaction.
    ///
    /// # Errors
    /// What the token says.
    pub fn transaction(&self, body: &TransactionBody) -> Result<Signature, String> {
        self.sign(&signed_bytes(domain::TRANSACTION, body))
    }

    /// Signs a proof of possession.
    ///
    /// # Errors
    /// What the token says.
    pub fn possession(&self, body: &PossessionBody) -> Result<Signature, String> {
        self.sign(&signed_bytes(domain::POSSESSION, body))
    }

    fn sign(&self, bytes: &[u8]) -> Result<Signature, String> {
        match self {
            Self::File(key) => Ok(key.sign(bytes)),
            Self::Token(key) => key.sign(bytes),
        }
    }
}
