//! The common reference string: 256 points and Q, whose relations nobody knows.
//!
//! *Invariants:* the points are the published ones: derived from a public seed, and hash-checked by the tests. A
//! process that proves nothing pays nothing: the points stand in the binary (16 KiB) and decode in some microseconds.
//! To derive them takes about 8 ms (`cargo run --release --example proof_bench`).
//!
//! Source: EIP-6800's reference (seed "eth_verkle_oct_2021", try-and-increment over SHA-256).

use crate::WIDTH;
use crate::group::Element;
use crate::scalar::{be_bytes, be_integer};
use ark_ed_on_bls12_381_bandersnatch::{EdwardsAffine, Fq};
use ark_ff::{BigInteger, PrimeField};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// The seed that the points are derived from.
pub const SEED: &[u8] = b"eth_verkle_oct_2021";

/// x and y of each point, 32 bytes big-endian each. `cargo run --example write_crs` writes the file from the seed.
const POINTS: &[u8; WIDTH * 64] = include_bytes!("crs.bin");

/// The points that everything is committed to.
#[derive(Debug)]
pub struct Crs {
    /// One point for each slot of a node.
    pub g: [Element; WIDTH],
    /// The point for inner products: the group's generator.
    pub q: Element,
}

/// Returns the only CRS, which is decoded at first use.
pub fn crs() -> &'static Crs {
    static CRS: OnceLock<Crs> = OnceLock::new();
    CRS.get_or_init(|| {
        let mut g = [Element::identity(); WIDTH];
        let coordinate = |bytes| Fq::new(be_integer(bytes));
        for (point, bytes) in g.iter_mut().zip(POINTS.as_chunks::<64>().0) {
            if let [x, y] = bytes.as_chunks::<32>().0 {
                *point = Element(EdwardsAffine::new_unchecked(coordinate(x), coordinate(y)).into());
            }
        }
        Crs { g, q: Element::generator() }
    })
}

/// Derives the first `count` points from the seed. The SHA-256 hashes of the seed and a counter (64 bits, big-endian)
/// are taken as numbers modulo the field's modulus. The points are those that are encodings of elements.
pub fn derive(count: usize) -> Vec<Element> {
    let hashes = (0u64..).map(|counter| {
        let hash = Sha256::new().chain_update(SEED).chain_update(counter.to_be_bytes()).finalize();
        Element::from_bytes(&below_modulus(&hash.into()))
    });
    hashes.filter_map(Result::ok).take(count).collect()
}

fn below_modulus(hash: &[u8; 32]) -> [u8; 32] {
    let mut number = be_integer(hash);
    while number >= Fq::MODULUS {
        number.sub_with_borrow(&Fq::MODULUS);
    }
    be_bytes(number)
}

/// Encodes points with z = 1 in the file format that [`crs`] decodes.
pub fn encode(points: &[Element]) -> Vec<u8> {
    let coordinates = points.iter().flat_map(|point| {
        let affine = EdwardsAffine::from(point.0);
        [affine.x, affine.y]
    });
    coordinates.flat_map(|coordinate| be_bytes(coordinate.into_bigint())).collect()
}
