//! The value by which an operator asks a chain of version 1 to go on by version 2.

use crate::genesis::Parameters;
use crate::ids::{ChainId, Epoch, Hash};
use crate::limits::ACTIVATION_BYTES_MAX;
use crate::rules::Rules;
use crate::transaction::Signature;
use crate::{DecodeError, decode, encode};
use borsh::io::{Error, ErrorKind, Read};
use borsh::{BorshDeserialize, BorshSerialize};

/// The key under which an operator puts the value, in an account of its own.
pub const ACTIVATION_KEY: &[u8] = b"rustorium/activate/2";

/// The part of an activation that the operator signs (after the domain string). Operators agree if all of it is equal.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize)]
pub struct ActivationBody {
    /// The protocol version, 2.
    pub version: u16,
    /// The chain.
    pub chain: ChainId,
    /// The epoch whose boundary decides. The next epoch is the first one of the version.
    pub epoch: Epoch,
    /// Hash of the committee whose members were ready. It must be both the epoch's and the next one's.
    pub committee: Hash,
    /// The parameters from the next epoch on.
    pub parameters: Parameters,
    /// Number of operators that must approve a change from the next epoch on.
    pub operator_quorum: u8,
}

/// The signed value (V1). An operator's signature makes the value worthless to those who only may write in its account.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Activation {
    /// The signed part.
    pub body: ActivationBody,
    /// Ed25519 over domain string and body, by the operator's key.
    pub signature: Signature,
}

impl Activation {
    /// Encodes the value of the key.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes the value of the key.
    ///
    /// # Errors
    /// [`DecodeError`]: the bytes are no activation, or one of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, ACTIVATION_BYTES_MAX)
    }
}

impl BorshDeserialize for ActivationBody {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let version = u16::deserialize_reader(reader)?;
        if version != Rules::V2.version() {
            return Err(Error::new(ErrorKind::InvalidData, format!("there is no activation of version {version}")));
        }
        Ok(Self {
            version,
            chain: ChainId::deserialize_reader(reader)?,
            epoch: Epoch::deserialize_reader(reader)?,
            committee: Hash::deserialize_reader(reader)?,
            parameters: parameters(reader)?,
            operator_quorum: u8::deserialize_reader(reader)?,
        })
    }
}

/// Reads parameters in the form of version 2.
fn parameters<R: Read>(reader: &mut R) -> borsh::io::Result<Parameters> {
    let parameters = Parameters::deserialize_reader(reader)?;
    let form = Error::new(ErrorKind::InvalidData, "the parameters are those of version 1");
    parameters.min_epoch_ms.map(|_| parameters).ok_or(form)
}
