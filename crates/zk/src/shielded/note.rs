//! Notes: value of an asset that a key owns, its commitment in the tree, and the nullifier that a spend reveals.

use rustorium_types::{AssetId, ChainId};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::field::{Element, element_bytes, hash_to_element};
use super::poseidon::{HashDomain, hash_2, hash_3, hash_4};

/// Domain of asset tags.
const ASSET_TAG: &[u8] = b"rustorium/shielded-asset/v1\0";

/// A pool of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    /// The chain's id: its genesis hash.
    pub chain: ChainId,
    /// Number of the pool within the chain.
    pub number: u32,
}

/// The tag of an asset inside one pool of one chain.
///
/// It is a hash of chain, pool and asset. All value in a pool came in under a tag that the ledger computed, and a
/// note's commitment and nullifier are hashes over its tag. So neither is worth anything in another pool or chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AssetTag(pub Element);

impl AssetTag {
    /// Returns the tag of `asset` in `pool`.
    pub fn new(pool: &Pool, asset: &AssetId) -> Self {
        Self(hash_to_element(ASSET_TAG, &[&pool.chain.0, &pool.number.to_le_bytes(), &asset.0]))
    }
}

/// A key's name in notes: a hash of its spending key and its nullifier key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Zeroize)]
pub struct Owner(pub Element);

/// The leaf of a note.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Commitment(pub Element);

/// The number that a spend reveals in place of the spent note.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Nullifier(pub Element);

impl Commitment {
    /// Encodes the commitment.
    pub fn to_bytes(self) -> [u8; 32] {
        element_bytes(&self.0)
    }
}

impl Nullifier {
    /// Encodes the nullifier.
    pub fn to_bytes(self) -> [u8; 32] {
        element_bytes(&self.0)
    }
}

/// The key of an owner's nullifiers. Anyone who has it can see which notes were spent.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct NullifierKey(pub(super) Element);

/// The secret that an owner needs to spend.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SpendAuthority(pub(super) Element);

/// Returns the owner of this pair of keys.
///
/// Both are hashed together. So nobody can find a second nullifier key for an owner, and with it a second nullifier for
/// a note, without a collision.
pub(super) fn owner(authority: &SpendAuthority, nullifier_key: &NullifierKey) -> Owner {
    let Ok(owner) = hash_2(HashDomain::Owner, [authority.0, nullifier_key.0]);
    Owner(owner)
}

/// Value of an asset that a key owns.
#[derive(Clone, PartialEq, Eq, Debug, Zeroize)]
pub struct Note {
    /// Tag of the asset.
    #[zeroize(skip)]
    pub asset: AssetTag,
    /// Amount of the asset.
    pub value: u64,
    /// Owner of the note.
    pub owner: Owner,
    /// Random number that hides the other fields in the commitment.
    pub blinding: Element,
}

impl Note {
    /// Returns the leaf of the note.
    pub fn commitment(&self) -> Commitment {
        let fields = [self.asset.0, Element::from(self.value), self.owner.0, self.blinding];
        let Ok(commitment) = hash_4(HashDomain::Note, fields);
        Commitment(commitment)
    }

    /// Returns the nullifier that a spend reveals if the note's commitment is leaf number `position`.
    ///
    /// The position is part of it, so two equal notes have different nullifiers, and nobody can burn a note by sending
    /// an equal one.
    pub fn nullifier(&self, key: &NullifierKey, position: u32) -> Nullifier {
        let fields = [key.0, self.commitment().0, Element::from(position)];
        let Ok(nullifier) = hash_3(HashDomain::Nullifier, fields);
        Nullifier(nullifier)
    }
}
