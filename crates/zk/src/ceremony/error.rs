//! What can be wrong with a ceremony's files and contributions.

use crate::refused::Refused;
use thiserror::Error;

/// Which contribution: its phase, its number from 1, and the name that its contributor gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// 1: powers of tau. 2: a circuit's own.
    pub phase: u8,
    /// From 1.
    pub number: usize,
    /// The contributor's name for it.
    pub name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "contribution {} of phase {} ({:?})", self.number, self.phase, self.name)
    }
}

/// What is wrong with a contribution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// The proof of knowledge fails: tampered with, or made for another place in the chain.
    #[error("its proof of knowledge fails: it was changed, or was made after other contributions than those before it")]
    Proof,
    /// The shares in the two groups differ.
    #[error("its shares in the two groups are not of the same secret")]
    Shares,
    /// What came out isn't what went in times the secret.
    #[error("it doesn't start from what the contributions before it made: one was dropped, moved or changed")]
    Chain,
    /// The secret is 1.
    #[error("its secret is 1, which changes nothing")]
    Nothing,
    /// Something follows a beacon.
    #[error("it comes after a beacon, which must be the last of its phase")]
    AfterBeacon,
    /// A beacon's share isn't what the beacon gives.
    #[error("its secret is not what its beacon gives")]
    Beacon,
    /// Imported powers elsewhere than in the first place.
    #[error("it is an import of powers, which only the first of phase 1 may be")]
    Import,
}

/// Why a ceremony's file, or what was to be done with it, was refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CeremonyError {
    /// Bytes of another kind.
    #[error("these bytes are no {0}: give a file that `zk ceremony` wrote")]
    Magic(&'static str),
    /// Bytes that end too early.
    #[error("the file ends within {0}: it was cut off, get it again")]
    Short(&'static str),
    /// Bytes behind the end.
    #[error("the file goes on behind its end: it was changed, get it again")]
    Long,
    /// A number that nothing honest writes.
    #[error("the file has a value that no ceremony writes in {0}: it was changed, get it again")]
    Value(&'static str),
    /// A point that isn't one.
    #[error("{place}, point {index}: {reason}")]
    Point {
        /// Of which list.
        place: &'static str,
        /// From 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A contribution that doesn't hold.
    #[error("{0}: {1}")]
    Contribution(Place, Fault),
    /// The powers aren't powers of one number, or not those that the contributions made.
    #[error("the powers of tau are wrong in {0}: they are not what the contributions made")]
    Powers(&'static str),
    /// The key isn't the circuit's under these powers and contributions.
    #[error("the circuit's key is wrong in {0}: it is not what circuit, powers and contributions make")]
    Key(&'static str),
    /// Another circuit.
    #[error("the file is of the circuit {found}, this program's {wanted} differs: use the release that began it")]
    Circuit {
        /// The file's.
        found: String,
        /// The one at hand.
        wanted: String,
    },
    /// A proving key whose proofs are for another verifying key.
    #[error(
        "the proving key belongs to the verifying key {found}, and the chain's is {wanted}: take the proving.key of the \
         ceremony that made the chain's (both are BLAKE3 hashes, as `zk ceremony finalize` prints them)"
    )]
    OtherKey {
        /// The hash of the key that it belongs to.
        found: String,
        /// The hash of the one at hand.
        wanted: String,
    },
    /// Powers that are too few for the circuit.
    #[error("the powers are of 2^{have} and the circuit needs 2^{need}: begin with larger ones")]
    TooFew {
        /// What there is.
        have: u8,
        /// What it takes.
        need: u8,
    },
    /// Nobody contributed yet.
    #[error("nobody has contributed to phase {0}: who began it would know its secret")]
    Untouched(u8),
    /// A phase of a beacon alone.
    #[error(
        "phase {0} has no contribution of a secret: everybody knows the beacon's, and could forge under this key; \
         contribute a secret first, before the beacon"
    )]
    NoSecret(u8),
    /// A beacon before any secret.
    #[error(
        "phase {0} has no contribution of a secret yet: contribute one first, since everybody will know the beacon's"
    )]
    TooEarly(u8),
    /// A phase that is over.
    #[error("phase {0} ended with a beacon: nothing can be added to it")]
    Closed(u8),
    /// The wrong phase for what was asked.
    #[error("the file is of phase {0}: {1}")]
    Phase(u8, &'static str),
    /// A name that can't be printed.
    #[error("a contributor's name has 1 to 64 bytes and no control characters")]
    Name,
    /// More contributions than a file takes.
    #[error("a phase has at most {max} contributions", max = super::CONTRIBUTIONS_MAX)]
    TooMany,
    /// More steps of a beacon than anybody wants to verify.
    #[error("a beacon is hashed at most 2^{max} times", max = super::BEACON_LOG2_MAX)]
    TooSlow,
    /// A circuit for which no key can be made.
    #[error("the circuit can't have a ceremony: {0}")]
    Unfit(&'static str),
    /// A `.ptau` that can't be read.
    #[error("this is no .ptau of snarkjs over bn128: {0}")]
    Ptau(&'static str),
    /// The key that came out is one that the verifier refuses.
    #[error("the key is refused: {0}")]
    Refused(#[from] Refused),
    /// Whoever watches the progress asked to stop.
    #[error("interrupted: nothing was written")]
    Interrupted,
}

impl CeremonyError {
    /// A stable name: what is wrong with a file, with what was asked, or that it was interrupted.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name | Self::TooMany | Self::TooSlow | Self::Closed(_) | Self::Phase(..) | Self::Untouched(_) => {
                "ceremony-not-possible"
            }
            Self::Unfit(_) | Self::TooFew { .. } | Self::TooEarly(_) => "ceremony-not-possible",
            Self::Interrupted => "ceremony-interrupted",
            Self::OtherKey { .. } => "other-proving-key",
            _ => "ceremony-refused",
        }
    }
}
