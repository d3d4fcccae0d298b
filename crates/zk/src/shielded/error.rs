//! Faults of notes, keys, transfers and data from elsewhere.

use thiserror::Error;

/// An operation of the pool was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ShieldedError {
    /// The bytes encode no field element.
    #[error("these 32 bytes are not a field element: the number must be below the field's order")]
    NotAnElement,
    /// The address can't be read.
    #[error("this isn't a shielded address: {0}")]
    Address(&'static str),
    /// The viewing key can't be read.
    #[error("this isn't a viewing key: {0}")]
    ViewingKey(&'static str),
    /// There are more commitments than the tree has room for.
    #[error("the pool's tree is full: it has no room for {wanted} more commitments, only for {free}")]
    TreeFull {
        /// Number of commitments to append.
        wanted: u64,
        /// Number of commitments that fit.
        free: u64,
    },
    /// A tree's bytes can't be read.
    #[error("these bytes are not a tree's frontier: {0}")]
    Frontier(&'static str),
    /// The bytes are no wallet's, or the wallet can't do this.
    #[error("a wallet can't use this: {0}")]
    Wallet(&'static str),
    /// There are more than two notes on a side.
    #[error("a transfer spends at most two notes and makes at most two")]
    TooManyNotes,
    /// The sums differ.
    #[error("the inputs are worth {ins} and the outputs {outs}: make them equal")]
    Unbalanced {
        /// Value of spent notes and of shielded value.
        ins: u128,
        /// Value of new notes and of unshielded value.
        outs: u128,
    },
    /// A note is of another asset than the transfer.
    #[error("a spent note has another asset than the transfer")]
    WrongAsset,
    /// A note belongs to another key.
    #[error("a spent note belongs to another key")]
    WrongOwner,
    /// A note's path leads to another root.
    #[error("a note's path doesn't lead to the root that the transfer names: bring the wallet up to date")]
    WrongRoot,
    /// A transfer has the same nullifier twice.
    #[error("both spent notes are the same note: spend two different ones")]
    SameNullifier,
    /// The witness breaks the circuit's rules.
    #[error("the transfer breaks a rule of the circuit, so there is no proof of it")]
    Unsatisfied,
    /// The parts of a proving key don't belong together.
    #[error(
        "the proof doesn't hold under the chain's key: the proving key was changed, make it again from the ceremony's file \
         with `zk ceremony finalize`"
    )]
    ProvingKey,
    /// A memo doesn't fit.
    #[error("a memo has at most {max} bytes, this one has {got}")]
    MemoTooLong {
        /// The largest length.
        max: usize,
        /// Length of this memo.
        got: usize,
    },
    /// The address' transmission key is one with which no secret can be agreed.
    #[error("the address's transmission key is of low order: nobody could read what is sent to it")]
    LowOrderKey,
    /// The cipher refused, which it does only for 256 GiB and more.
    #[error("the cipher refused to encrypt a note: report this as a fault of the program")]
    Encryption,
    /// There is less value than requested.
    #[error("the wallet has {have} of this asset to spend, and {wanted} are needed")]
    NotEnough {
        /// Value of all unspent notes.
        have: u128,
        /// The value that is needed.
        wanted: u128,
    },
    /// There is enough value, but in more than two notes.
    #[error("no two notes are worth {wanted}: pay yourself with the two largest first, which makes them one")]
    Scattered {
        /// The value that is needed.
        wanted: u128,
    },
}
