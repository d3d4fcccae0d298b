//! The signer's keys: from a sealed file, in locked memory, or in a token that never releases them.

use crate::pkcs11::TokenKey;
use rustorium_crypto::SigningKey;
use rustorium_crypto::hash::{signed_bytes, transaction2_bytes};
use rustorium_crypto::{domain, vote_bytes};
use rustorium_types::{
    BatchDigest, ChainId, PossessionBody, PublicKey, Signature, TransactionBody, TransactionBody2, VoteBody,
};

/// Role of a key. It signs nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Signs votes, batches and proofs of possession, with a guard.
    Validator,
    /// Signs transactions.
    Account,
}

/// A signing key.
pub enum Key {
    /// A key in this process.
    File(SigningKey),
    /// A key in a token.
    Token(Box<TokenKey>),
}

impl Key {
    /// Returns the public key.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::File(key) => key.public(),
            Self::Token(key) => key.public(),
        }
    }

    /// Signs a vote.
    ///
    /// # Errors
    /// Those of the token.
    pub fn vote(&self, body: &VoteBody) -> Result<Signature, String> {
        self.sign(&vote_bytes(body))
    }

    /// Signs the batch with this digest.
    ///
    /// # Errors
    /// Those of the token.
    pub fn batch(&self, digest: &BatchDigest) -> Result<Signature, String> {
        self.sign(&[domain::BATCH_SIGNATURE, &digest.0[..]].concat())
    }

    /// Signs a transaction.
    ///
    /// # Errors
    /// Those of the token.
    pub fn transaction(&self, body: &TransactionBody) -> Result<Signature, String> {
        self.sign(&signed_bytes(domain::TRANSACTION, body))
    }

    /// Signs a transaction in the form of version 2.
    ///
    /// # Errors
    /// Those of the token.
    pub fn transaction2(&self, chain: &ChainId, body: &TransactionBody2) -> Result<Signature, String> {
        self.sign(&transaction2_bytes(chain, body))
    }

    /// Signs a proof of possession.
    ///
    /// # Errors
    /// Those of the token.
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
