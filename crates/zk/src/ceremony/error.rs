//! Faults of a ceremony's files and contributions.

use crate::refused::Refused;
use thiserror::Error;

/// Place of a contribution: its phase, its number from 1, and the name that its contributor gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// 1: powers of tau. 2: a circuit's own.
    pub phase: u8,
    /// Number of the contribution, from 1.
    pub number: usize,
    /// The contributor's chosen name.
    pub name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "contribution {} of phase {} ({:?})", self.number, self.phase, self.name)
    }
}

/// A fault of a contribution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// The proof of knowledge fails: the contribution was changed, or made for another place in the chain.
    #[error("its proof of knowledge fails: it was changed, or was made after other contributions than those before it")]
    Proof,
    /// The shares in the two groups differ.
    #[error("its shares in the two groups are not of the same secret")]
    Shares,
    /// The result isn't the previous value times the secret.
    #[error("it doesn't start from what the contributions before it made: one was dropped, moved or changed")]
    Chain,
    /// The secret is 1.
    #[error("its secret is 1, which changes nothing")]
    Nothing,
    /// The contribution follows a beacon.
    #[error("it comes after a beacon, which must be the last of its phase")]
    AfterBeacon,
    /// A beacon's share isn't the one that the beacon gives.
    #[error("its secret is not what its beacon gives")]
    Beacon,
    /// Imported powers stand in another place than the first.
    #[error("it is an import of powers, which only the first of phase 1 may be")]
    Import,
}

/// A ceremony's file, or an operation on it, was refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CeremonyError {
    /// The bytes are of another kind.
    #[error("these bytes are not a {0}: give a file that `zk ceremony` wrote")]
    Magic(&'static str),
    /// The bytes end too early.
    #[error("the file ends within {0}: it was cut off, get it again")]
    Short(&'static str),
    /// There are bytes after the end.
    #[error("the file has bytes after its end: it was changed, get it again")]
    Long,
    /// The file has a number that no honest program writes.
    #[error("the file has a value that no ceremony writes in {0}: it was changed, get it again")]
    Value(&'static str),
    /// A point is invalid.
    #[error("{place}, point {index}: {reason}")]
    Point {
        /// The list that the point is in.
        place: &'static str,
        /// Index of the point, from 0.
        index: usize,
        /// Description of the fault.
        reason: &'static str,
    },
    /// A contribution doesn't hold.
    #[error("{0}: {1}")]
    Contribution(Place, Fault),
    /// The powers aren't powers of one number, or not those that the contributions made.
    #[error("the powers of tau are wrong in {0}: they are not what the contributions made")]
    Powers(&'static str),
    /// The key isn't the circuit's under these powers and contributions.
    #[error("the circuit's key is wrong in {0}: it is not what circuit, powers and contributions make")]
    Key(&'static str),
    /// The file is of another circuit.
    #[error("the file is of the circuit {found}, this program's {wanted} differs: use the release that began it")]
    Circuit {
        /// The file's circuit.
        found: String,
        /// The present circuit.
        wanted: String,
    },
    /// The proving key makes proofs for another verifying key.
    #[error(
        "the proving key belongs to the verifying key {found}, and the chain's is {wanted}: take the proving.key of the \
         ceremony that made the chain's (both are BLAKE3 hashes, as `zk ceremony finalize` prints them)"
    )]
    OtherKey {
        /// Hash of the verifying key that the proving key belongs to.
        found: String,
        /// Hash of the given verifying key.
        wanted: String,
    },
    /// There are too few powers for the circuit.
    #[error("the powers are of 2^{have} and the circuit needs 2^{need}: begin with larger ones")]
    TooFew {
        /// The power of two that the file has.
        have: u8,
        /// The power of two that the circuit needs.
        need: u8,
    },
    /// There is no contribution yet.
    #[error(
        "nobody has contributed to phase {0}, so the one who began it would know its secret: contribute to it first"
    )]
    Untouched(u8),
    /// A phase has only a beacon.
    #[error(
        "phase {0} has no contribution of a secret: everybody knows the beacon's, and could forge under this key; \
         contribute a secret first, before the beacon"
    )]
    NoSecret(u8),
    /// A beacon comes before any secret.
    #[error(
        "phase {0} has no contribution of a secret yet: contribute one first, since everybody will know the beacon's"
    )]
    TooEarly(u8),
    /// The phase is over.
    #[error("phase {0} ended with a beacon: nothing can be added to it")]
    Closed(u8),
    /// The file is in the wrong phase for the operation.
    #[error("the file is of phase {0}: {1}")]
    Phase(u8, &'static str),
    /// The name can't be printed.
    #[error("a contributor's name has 1 to 64 bytes and no control characters")]
    Name,
    /// There are more contributions than a file may have.
    #[error("a phase has at most {max} contributions", max = super::CONTRIBUTIONS_MAX)]
    TooMany,
    /// The beacon has so many steps that verification would take too long.
    #[error("a beacon is hashed at most 2^{max} times", max = super::BEACON_LOG2_MAX)]
    TooSlow,
    /// No key can be made for the circuit.
    #[error("the circuit can't have a ceremony: {0}")]
    Unfit(&'static str),
    /// The `.ptau` can't be read.
    #[error("this is not a .ptau file of snarkjs over bn128: {0}")]
    Ptau(&'static str),
    /// The verifier refuses the resulting key.
    #[error("the key is refused: {0}")]
    Refused(#[from] Refused),
    /// The receiver of progress reports asked to stop.
    #[error("interrupted: nothing was written")]
    Interrupted,
}

impl CeremonyError {
    /// Returns a stable code: for a fault of the file, for an impossible operation, or for an interruption.
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
