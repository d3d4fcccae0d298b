//! The field of notes and circuits, its encoding, hashing into it, and randomness from 32 bytes.

use ark_bn254::Fr;
use ark_ff::{BigInt, BigInteger};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::error::ShieldedError;
use crate::encoding::scalar;
use crate::refused::Part;
use crate::{SCALAR_BYTES, encode_input};

/// An element of BN254's scalar field, in which the pool hashes, commits and proves.
pub type Element = Fr;

/// Encodes an element: 32 bytes, big-endian, like the public inputs of proofs.
pub fn element_bytes(element: &Element) -> [u8; SCALAR_BYTES] {
    encode_input(*element)
}

/// Decodes an element. Errors: the number is not below the modulus.
pub fn element_from_bytes(bytes: &[u8; SCALAR_BYTES]) -> Result<Element, ShieldedError> {
    scalar(bytes, Part::Input(0)).map_err(|_| ShieldedError::NotAnElement)
}

/// Reduces 64 bytes, as a big-endian number, modulo the field's order. The result differs from uniform by less than
/// 2⁻²⁵⁰.
fn reduce(bytes: &[u8; 64]) -> Element {
    bytes.chunks_exact(16).fold(Fr::from(0u64), |high, chunk| {
        let part = chunk.iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
        // Here 2¹²⁸ = (2¹²⁸ − 1) + 1.
        high * (Fr::from(u128::MAX) + Fr::from(1u64)) + Fr::from(part)
    })
}

/// Returns a domain's hash of `parts` as an element. The caller keeps the parts unambiguous (fixed sizes, or one last
/// part).
pub(super) fn hash_to_element(domain: &[u8], parts: &[&[u8]]) -> Element {
    Stream::new(domain, parts).element()
}

/// A stream of bytes of a domain's hash of `parts`, as long as needed.
///
/// It is also used for randomness. A seed from the caller is hashed with the data that the randomness is used for, so
/// that one seed used twice by mistake still gives two streams.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Stream {
    output: blake3::OutputReader,
}

impl Stream {
    pub(crate) fn new(domain: &[u8], parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(domain);
        for part in parts {
            hasher.update(part);
        }
        let output = hasher.finalize_xof();
        hasher.zeroize();
        Self { output }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.output.fill(&mut out);
        out
    }

    pub(crate) fn element(&mut self) -> Element {
        let mut wide = self.bytes::<64>();
        let element = reduce(&wide);
        wide.zeroize();
        element
    }
}

// Arkworks' key generation draws from this.
impl ark_std::rand::RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.output.fill(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), ark_std::rand::Error> {
        self.output.fill(out);
        Ok(())
    }
}

/// Returns the lowest `count` bits of `value`, lowest first.
pub(crate) fn bits(value: u64, count: usize) -> impl Iterator<Item = bool> {
    BigInt::<1>::from(value).to_bits_le().into_iter().take(count)
}
