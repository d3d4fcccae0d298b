//! Newtyped identifiers: 32-byte digests by what they name, and the counters that must never be mixed up.

use crate::codec::DecodeError;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// All zero bytes. In the protocol they stand for "none".
            pub const ZERO: Self = Self([0; 32]);

            /// Returns the 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Parses 64 hex digits, in lower or upper case.
            pub fn from_hex(text: &str) -> Result<Self, DecodeError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| DecodeError::Hex { bytes: 32 })?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}…)", stringify!($name), hex::encode(&self.0[..4]))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as Deserialize>::deserialize(deserializer)?;
                Self::from_hex(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type!(
    /// A 32-byte BLAKE3 hash of something that has no type of its own.
    Hash
);
digest_type!(
    /// The hash of a genesis' canonical bytes. It identifies the chain in everything that is signed.
    ChainId
);
digest_type!(
    /// The hash of a transaction's signed bytes. It doesn't cover the signature.
    TxId
);
digest_type!(
    /// The hash of a batch's bytes without its author's signature. That signature covers this hash.
    BatchDigest
);
digest_type!(
    /// The hash of a block's header.
    BlockDigest
);
digest_type!(
    /// The hash of an issuer's account id and its symbol.
    AssetId
);
digest_type!(
    /// The id of a registered verifying key. Its first byte is the home region of the account that registered the key.
    /// The rest is a hash of that account, the key and the inputs that it names.
    VerifierId
);

macro_rules! counter_type {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug,
            BorshSerialize, BorshDeserialize, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// Returns the next value; saturates at the type's largest value.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter_type!(
    /// A committed position in a shard's chain; genesis is 0.
    Height(u64)
);
counter_type!(
    /// A consensus attempt in a shard's epoch; genesis is 0.
    View(u64)
);
counter_type!(
    /// A term of a committee.
    Epoch(u64)
);
counter_type!(
    /// A partition of the key space.
    ShardId(u32)
);

impl ShardId {
    /// The shard that every chain has. On chains of one shard it has all accounts.
    pub const ROOT: Self = Self(0);
}

counter_type!(
    /// A validator's position in its epoch's set; also the number of its lane.
    ValidatorIndex(u16)
);
