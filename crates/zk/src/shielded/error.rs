//! What can be wrong with notes, keys, transfers and what came from elsewhere.

use thiserror::Error;

/// Why something of the pool was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ShieldedError {
    /// Bytes that encode no field element.
    #[error("32 bytes that are no field element: the number must be below the field's order")]
    NotAnElement,
    /// An address that can't be read.
    #[error("this isn't a shielded address: {0}")]
    Address(&'static str),
    /// A viewing key that can't be read.
    #[error("this isn't a viewing key: {0}")]
    ViewingKey(&'static str),
    /// More commitments than the tree has room for.
    #[error("the pool's tree is full: it has no room for {wanted} more commitments, only for {free}")]
    TreeFull {
        /// How many were to be appended.
        wanted: u64,
        /// How many fit.
        free: u64,
    },
    /// A tree's bytes that can't be read.
    #[error("these bytes are no tree's frontier: {0}")]
    Frontier(&'static str),
    /// Bytes that are no wallet's, or what this wallet can't do.
    #[error("this is no use to a wallet: {0}")]
    Wallet(&'static str),
    /// More than two notes on a side.
    #[error("a transfer spends at most two notes and makes at most two")]
    TooManyNotes,
    /// Sums that differ.
    #[error("what goes in ({ins}) isn't what comes out ({outs})")]
    Unbalanced {
        /// Value of spent notes and what is shielded.
        ins: u128,
        /// Value of new notes and what is unshielded.
        outs: u128,
    },
    /// A note of another asset than the transfer's.
    #[error("a note that is spent is of another asset than the transfer")]
    WrongAsset,
    /// A note that another key owns.
    #[error("a note that is spent belongs to another key")]
    WrongOwner,
    /// A note whose path leads elsewhere.
    #[error("a note's path doesn't lead to the root that the transfer names: bring the wallet up to date")]
    WrongRoot,
    /// The same nullifier twice in one transfer.
    #[error("both spent notes are the same one")]
    SameNullifier,
    /// A witness that breaks the circuit's rules.
    #[error("the transfer breaks a rule of the circuit, so there is no proof of it")]
    Unsatisfied,
    /// A proving key whose parts don't belong together.
    #[error(
        "the proof doesn't hold under the chain's key: the proving key was changed, make it anew from the ceremony's file \
         with `zk ceremony finalize`"
    )]
    ProvingKey,
    /// A memo that doesn't fit.
    #[error("a memo has at most {max} bytes, this one has {got}")]
    MemoTooLong {
        /// The longest.
        max: usize,
        /// This one's length.
        got: usize,
    },
    /// An address whose transmission key nobody can agree on a secret with.
    #[error("the address's transmission key is of low order: nobody could read what is sent to it")]
    LowOrderKey,
    /// The cipher refused, which it does for nothing shorter than 256 GiB.
    #[error("the cipher refused to encrypt a note: report this as a fault of the program")]
    Encryption,
    /// Less value than is wanted.
    #[error("there are {have} of this asset to spend, {wanted} are wanted")]
    NotEnough {
        /// What all unspent notes are worth.
        have: u128,
        /// What is needed.
        wanted: u128,
    },
    /// Enough value, in more than two notes.
    #[error("no two notes are worth {wanted}: pay yourself with the two largest first, which makes them one")]
    Scattered {
        /// What is needed.
        wanted: u128,
    },
}
