//! Reasons why JSON is not what it is read as.
//!
//! *Invariants:* each names the field, and what to give instead.

use rustorium_types::{AuthorityFault, DecodeError};
use thiserror::Error;

/// Reason why a view is not an operation.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ViewError {
    /// Neither the text nor the hex digits are given.
    #[error("give `{0}` as text or `{0}_hex` as hex digits")]
    Missing(&'static str),
    /// A field that the operation needs isn't given.
    #[error("give `{0}`")]
    Required(&'static str),
    /// Both are given, and they differ.
    #[error("`{0}` and `{0}_hex` differ; give one of them")]
    Differ(&'static str),
    /// Two fields that exclude each other are given.
    #[error("give `{0}` or `{1}`, not both")]
    Both(&'static str, &'static str),
    /// A subject of the system's account is asked of another one.
    #[error("`{0}` is of the system's account alone; give its address as `account`")]
    OfTheSystem(&'static str),
    /// Not hex digits.
    #[error("`{0}_hex` is not an even number of hex digits")]
    Hex(&'static str),
    /// A number is above its limit.
    #[error("`{0}` must be below 2^64; take several operations for more")]
    Large(&'static str),
    /// No operation of version 1 says it.
    #[error("no transaction of version 1 has this operation; sign it in the form of version 2, or leave it out")]
    Later,
    /// No operation of version 2 says it.
    #[error(
        "version 2 asks for proofs that somebody holds a validator's new keys, and for keys of no small order; give `possession`"
    )]
    Unproven,
    /// Keys and a threshold are no authority.
    #[error("{0}")]
    Authority(AuthorityFault),
    /// A value is above its limit.
    #[error("`{0}`: {1}")]
    Bound(&'static str, DecodeError),
}
