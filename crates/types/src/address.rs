//! Account ids and their human form: bech32m `rs1…` (BIP-350), whose checksum is always checked.

use crate::codec::DecodeError;
use bech32::{Bech32m, Hrp};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

const HRP: Hrp = Hrp::parse_unchecked("rs");

/// An account: its home region's byte, then 31 bytes of BLAKE3 over its first public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct AccountId(pub [u8; 32]);

/// The account of the chain's own state. No key belongs to it, so nobody can act for it.
pub const SYSTEM_ACCOUNT: AccountId = AccountId([0; 32]);

/// Zero bytes at the start of the system's ids.
const SYSTEM_ZEROS: usize = 23;

impl AccountId {
    /// The home region's byte.
    pub fn region(&self) -> u8 {
        self.0[0]
    }

    /// Tells if the id is one of the system's: each shard has its own, and no cut divides them.
    pub fn is_system(&self) -> bool {
        self.0.starts_with(&[0; SYSTEM_ZEROS])
    }

    /// Parses an `rs1…` address. Errors: another prefix, a wrong checksum, or a length other than 32 bytes.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|_| DecodeError::Address("the checksum or the characters are wrong"))?;
        if checked.hrp() != HRP {
            return Err(DecodeError::Address("an address starts with rs1"));
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let id = bytes.try_into().map(Self).map_err(|_| DecodeError::Address("an address holds 32 bytes"))?;
        // 32 bytes leave four bits of the last character unused. With other bits there, another text would name the
        // same account.
        if id.to_string() == text.to_ascii_lowercase() {
            Ok(id)
        } else {
            Err(DecodeError::Address("its last bits are not zero"))
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32m>(HRP, &self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
