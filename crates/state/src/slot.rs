//! Slots of an inner node: their content, the scalar that stands for it in the node's commitment, and their row in a
//! store.
//!
//! *Invariants:* a slot's scalar is a hash of its whole content, with a name for its kind, and zero for an empty slot;
//! a commitment is always represented by the one of its two points that its encoding names, so equal ones are equal
//! bytes; a row has one encoding, and decoding checks that coordinates are in the field and on the curve, but not in
//! the group: rows are a node's own.

use crate::group::{Element, Fr};
use crate::path::{KEY_BYTES, Prefix, SlotId};
use crate::scalar::{be_bytes, be_integer, from_hash};
use ark_ec::CurveGroup;
use ark_ed_on_bls12_381_bandersnatch::{EdwardsAffine, EdwardsProjective, Fq};
use ark_ff::{AdditiveGroup, Field, MontFp, PrimeField};
use rustorium_types::{AccountId, Hash, StateKey};
use std::fmt;

/// The hash of a leaf's value. The tree knows no more of the value.
pub type ValueHash = Hash;

/// The commitment of an inner node, in affine coordinates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Commitment {
    x: Fq,
    y: Fq,
}

impl Commitment {
    /// The commitment of an empty node.
    pub const NEUTRAL: Self = Self { x: Fq::ZERO, y: MontFp!("-1") };

    /// Creates a commitment from the coordinates of either point.
    pub(crate) fn new((x, y): (Fq, Fq)) -> Self {
        if y.into_bigint() > Fq::MODULUS_MINUS_ONE_DIV_TWO { Self { x, y } } else { Self { x: -x, y: -y } }
    }

    /// Returns the coordinates.
    pub(crate) fn coordinates(&self) -> (Fq, Fq) {
        (self.x, self.y)
    }

    /// Returns the commitment as an element of the group.
    pub fn to_element(self) -> Element {
        Element(EdwardsProjective::new_unchecked(self.x, self.y, self.x * self.y, Fq::ONE))
    }

    /// Returns the encoding for hashes and proofs: the same as the element's, without its inversion.
    pub fn encode(&self) -> [u8; 32] {
        be_bytes(self.x.into_bigint())
    }

    fn decode_row(x: &[u8; 32], y: &[u8; 32]) -> Result<Self, RowError> {
        let coordinate = |bytes| Fq::from_bigint(be_integer(bytes)).ok_or(RowError);
        let point = EdwardsAffine::new_unchecked(coordinate(x)?, coordinate(y)?);
        let commitment = Self { x: point.x, y: point.y };
        if point.is_on_curve() && commitment == Self::new((point.x, point.y)) { Ok(commitment) } else { Err(RowError) }
    }
}

impl From<Element> for Commitment {
    fn from(element: Element) -> Self {
        let affine = element.0.into_affine();
        Self::new((affine.x, affine.y))
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Commitment({})", Hash(self.encode()))
    }
}

/// A key with the hash of its value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Leaf {
    /// The key.
    pub key: StateKey,
    /// BLAKE3 of the value.
    pub value: ValueHash,
}

impl Leaf {
    /// Returns the scalar of a slot with this leaf.
    pub fn scalar(&self) -> Fr {
        let mut fields = Fields::new();
        fields.push(b"leaf");
        fields.push(&self.key.to_bytes());
        fields.push(&self.value.0);
        fields.scalar()
    }
}

/// Returns the scalar of a slot with the inner node of this prefix and encoded commitment.
pub fn inner_scalar(prefix: &Prefix, commitment: &[u8; 32]) -> Fr {
    let mut fields = Fields::new();
    fields.push(b"inner");
    fields.push(prefix.as_slice());
    fields.push(commitment);
    fields.scalar()
}

/// Fields with their lengths in front of them (u32, little-endian): at most 112 bytes, which suffices for both kinds.
struct Fields {
    bytes: [u8; 112],
    length: usize,
}

impl Fields {
    fn new() -> Self {
        Self { bytes: [0; 112], length: 0 }
    }

    fn push(&mut self, field: &[u8]) {
        let length = (field.len() as u32).to_le_bytes();
        for part in [&length[..], field] {
            self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
            self.length += part.len();
        }
    }

    /// Returns 64 bytes of BLAKE3 as a number, little-endian, modulo the group's order. That is twice as wide as the
    /// order, so that no scalar is likelier than another.
    fn scalar(&self) -> Fr {
        /// 2^256 modulo the order.
        const HIGH: Fr = MontFp!("10920338887063814464675503992315976178796737518116002025166357554075628257528");
        let mut wide = [0; 64];
        blake3::Hasher::new().update(&self.bytes[..self.length]).finalize_xof().fill(&mut wide);
        let halves = wide.as_chunks::<32>().0;
        from_hash(&halves[0]) + from_hash(&halves[1]) * HIGH
    }
}

/// An inner node in the form that its parent's slot holds. The top node's has no parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Child {
    /// The node's prefix.
    pub prefix: Prefix,
    /// Number of its 256 slots that aren't empty: at least two below the top.
    pub filled: u16,
    /// The node's commitment.
    pub commitment: Commitment,
}

impl Child {
    /// The top node of an empty tree.
    pub const EMPTY_TOP: Self = Self { prefix: Prefix::EMPTY, filled: 0, commitment: Commitment::NEUTRAL };
}

/// Content of a slot that isn't empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// The only key below this slot.
    Leaf(Leaf),
    /// The node in which the keys below this slot diverge.
    Child(Child),
}

/// A row that no store of this version has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the state tree is damaged: restore the store, or sync it again")]
pub struct RowError;

const LEAF_ROW: u8 = 0;
const CHILD_ROW: u8 = 1;

impl Slot {
    /// Returns the scalar that stands for this content in the node's commitment.
    pub fn scalar(&self) -> Fr {
        match self {
            Self::Leaf(leaf) => leaf.scalar(),
            Self::Child(child) => inner_scalar(&child.prefix, &child.commitment.encode()),
        }
    }

    /// Tells if the keys in this slot's content lead to slot `id`. All rows that are read are checked for it.
    pub(crate) fn belongs_in(&self, id: &SlotId) -> bool {
        let (path, length) = self.path();
        id.node.slot_of(&path[..length]) == Some(*id)
    }

    /// Returns the common beginning of all keys in this slot.
    pub(crate) fn path(&self) -> ([u8; KEY_BYTES], usize) {
        match self {
            Self::Leaf(leaf) => (leaf.key.to_bytes(), KEY_BYTES),
            Self::Child(child) => {
                let mut path = [0; KEY_BYTES];
                path[..child.prefix.length()].copy_from_slice(child.prefix.as_slice());
                (path, child.prefix.length())
            }
        }
    }

    /// Encodes the row: a leaf's 97 bytes, or a child's 68 and its prefix. The top node's row is that of a child.
    pub fn to_row(&self) -> Vec<u8> {
        match self {
            Self::Leaf(leaf) => [&[LEAF_ROW][..], &leaf.key.to_bytes(), &leaf.value.0].concat(),
            Self::Child(child) => {
                let coordinates = [child.commitment.x, child.commitment.y].map(|c| be_bytes(c.into_bigint()));
                let lengths = [&[CHILD_ROW][..], &child.filled.to_le_bytes()].concat();
                [&lengths, coordinates.as_flattened(), child.prefix.as_slice()].concat()
            }
        }
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// [`RowError`] for all bytes that `to_row` doesn't write.
    pub fn from_row(row: &[u8]) -> Result<Self, RowError> {
        match row.split_first() {
            Some((&LEAF_ROW, rest)) => leaf_row(rest).map(Self::Leaf),
            Some((&CHILD_ROW, rest)) => child_row(rest).map(Self::Child),
            _ => Err(RowError),
        }
    }
}

fn leaf_row(row: &[u8]) -> Result<Leaf, RowError> {
    let [account, name, value] = row.as_chunks::<32>().0 else { return Err(RowError) };
    if row.len() != 96 {
        return Err(RowError);
    }
    Ok(Leaf { key: StateKey { account: AccountId(*account), name: *name }, value: Hash(*value) })
}

fn child_row(row: &[u8]) -> Result<Child, RowError> {
    let (filled, row) = row.split_first_chunk::<2>().ok_or(RowError)?;
    let (x, row) = row.split_first_chunk::<32>().ok_or(RowError)?;
    let (y, prefix) = row.split_first_chunk::<32>().ok_or(RowError)?;
    let filled = u16::from_le_bytes(*filled);
    if filled > 256 {
        return Err(RowError);
    }
    Ok(Child { prefix: Prefix::new(prefix).ok_or(RowError)?, filled, commitment: Commitment::decode_row(x, y)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::Zero;
    use proptest::prelude::*;

    fn slots() -> Vec<Slot> {
        let key = StateKey { account: AccountId([7; 32]), name: [9; 32] };
        let mut slots = vec![Slot::Leaf(Leaf { key, value: Hash([1; 32]) }), Slot::Child(Child::EMPTY_TOP)];
        for length in [0, 1, 33, 63] {
            let element = Element::generator() * Fr::from(length as u64 + 2);
            let prefix = Prefix::of_key(&key.to_bytes(), length);
            slots.push(Slot::Child(Child { prefix, filled: 256, commitment: element.into() }));
        }
        slots
    }

    #[test]
    fn rows_survive_and_changed_ones_are_refused_or_others() {
        for slot in slots() {
            let row = slot.to_row();
            assert_eq!(Slot::from_row(&row), Ok(slot));
            assert!(Slot::from_row(&row[..row.len() - 1]).map_or(true, |other| other.to_row() == row[..row.len() - 1]));
            for bit in 0..row.len() * 8 {
                let mut other = row.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(Slot::from_row(&other).map_or(true, |slot| slot.to_row() == other));
            }
        }
        assert_eq!(Slot::from_row(&[]), Err(RowError));
    }

    #[test]
    fn a_commitment_encodes_like_its_element() {
        for i in 0..20_u64 {
            let element = Element::generator() * Fr::from(i);
            for same in [element, -(-element)] {
                let commitment = Commitment::from(same);
                assert_eq!(commitment.encode(), element.to_bytes());
                assert_eq!(commitment.to_element(), element);
            }
        }
        assert_eq!(Commitment::from(Element::identity()), Commitment::NEUTRAL);
    }

    #[test]
    fn kinds_and_contents_have_scalars_of_their_own() {
        let scalars: Vec<Fr> = slots().iter().map(Slot::scalar).collect();
        assert!(scalars.iter().enumerate().all(|(i, s)| !s.is_zero() && scalars[i + 1..].iter().all(|t| t != s)));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(row in proptest::collection::vec(any::<u8>(), 0..150), kind in 0_u8..3) {
            let row = [vec![kind], row].concat();
            prop_assert!(Slot::from_row(&row).map_or(true, |slot| slot.to_row() == row));
        }

        #[test]
        fn the_wide_hash_is_reduced(prefix in proptest::collection::vec(any::<u8>(), 0..64), commitment in any::<[u8; 32]>()) {
            let mut input = vec![5, 0, 0, 0];
            input.extend_from_slice(b"inner");
            input.extend_from_slice(&(prefix.len() as u32).to_le_bytes());
            input.extend_from_slice(&prefix);
            input.extend_from_slice(&[32, 0, 0, 0]);
            input.extend_from_slice(&commitment);
            let mut wide = [0; 64];
            blake3::Hasher::new().update(&input).finalize_xof().fill(&mut wide);
            let want = wide.iter().rev().fold(Fr::ZERO, |sum, &byte| sum * Fr::from(256) + Fr::from(byte));
            prop_assert_eq!(inner_scalar(&Prefix::new(&prefix).unwrap(), &commitment), want);
        }
    }
}
