//! The canonical codec: borsh, one encoding per value, every length checked against its limit before anything is allocated.

use borsh::{BorshDeserialize, BorshSerialize};
use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use thiserror::Error as ThisError;

/// Bytes were refused. They come from a peer or a user, so this is an answer, never a panic.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum DecodeError {
    /// There are more bytes than the kind of value may have.
    #[error("{got} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Number of bytes.
        got: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// The bytes are not the canonical encoding of any value.
    #[error("not a canonical encoding: {0}")]
    Malformed(String),
    /// The text is not hex digits of the required length.
    #[error("expected {bytes} bytes as hex digits")]
    Hex {
        /// Required number of bytes.
        bytes: usize,
    },
    /// The text is not an address.
    #[error("not an address: {0}")]
    Address(&'static str),
}

/// Returns the canonical bytes of `value`.
pub fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    encode_into(value, &mut out);
    out
}

/// Appends the canonical bytes of `value` to `out`.
pub fn encode_into<T: BorshSerialize>(value: &T, out: &mut Vec<u8>) {
    // Writing to a Vec fails only for lengths over u32::MAX, which the bounded types exclude.
    let written = value.serialize(out);
    assert!(written.is_ok(), "a bounded value always encodes");
}

/// Decodes exactly one value from all of `bytes`, which may be at most `limit` long.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge { got: bytes.len(), limit });
    }
    let decoded = T::try_from_slice(bytes);
    decoded.map_err(|error| DecodeError::Malformed(error.to_string()))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

fn read_length<R: Read>(reader: &mut R, max: usize) -> IoResult<usize> {
    let length = u32::deserialize_reader(reader)? as usize;
    if length > max { Err(invalid(format!("a length of {length} is over its limit of {max}"))) } else { Ok(length) }
}

/// A byte string of at most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct BoundedBytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> BoundedBytes<MAX> {
    /// Wraps `bytes`. Errors: there are more than `MAX`.
    pub fn new(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        if bytes.len() > MAX { Err(DecodeError::TooLarge { got: bytes.len(), limit: MAX }) } else { Ok(Self(bytes)) }
    }

    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes as a `Vec`.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> BorshSerialize for BoundedBytes<MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.0.serialize(writer)
    }
}

impl<const MAX: usize> BorshDeserialize for BoundedBytes<MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let length = read_length(reader, MAX)?;
        // The buffer grows with the bytes that are really there: a length without its bytes allocates little.
        let mut bytes = Vec::with_capacity(length.min(4096));
        reader.take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() == length { Ok(Self(bytes)) } else { Err(invalid("the bytes end early".into())) }
    }
}

/// A list of at most `MAX` values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BoundedVec<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for BoundedVec<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> BoundedVec<T, MAX> {
    /// Wraps `values`. Errors: there are more than `MAX`.
    pub fn new(values: Vec<T>) -> Result<Self, DecodeError> {
        if values.len() > MAX { Err(DecodeError::TooLarge { got: values.len(), limit: MAX }) } else { Ok(Self(values)) }
    }

    /// Returns the values.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Returns the values as a `Vec`.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> std::ops::Deref for BoundedVec<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a BoundedVec<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: BorshSerialize, const MAX: usize> BorshSerialize for BoundedVec<T, MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.0.serialize(writer)
    }
}

impl<T: BorshDeserialize, const MAX: usize> BorshDeserialize for BoundedVec<T, MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let length = read_length(reader, MAX)?;
        let mut values = Vec::with_capacity(length.min(4096 / size_of::<T>().max(1) + 1));
        for _ in 0..length {
            values.push(T::deserialize_reader(reader)?);
        }
        Ok(Self(values))
    }
}
