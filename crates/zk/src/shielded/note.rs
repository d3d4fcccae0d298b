//! Notes: value of an asset that a key owns, its commitment in the tree, and the nullifier that spending it shows.

use rustorium_types::{AssetId, ChainId};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::field::{Element, element_bytes, hash_to_element};
use super::poseidon::{HashDomain, hash_2, hash_3, hash_4};

/// Domain of asset tags.
const ASSET_TAG: &[u8] = b"rustorium/shielded-asset/v1\0";

/// One pool of one chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    /// The chain's id: its genesis hash.
    pub chain: ChainId,
    /// Which of the chain's pools.
    pub number: u32,
}

/// What an asset is called inside one pool of one chain.
///
/// It is a hash of chain, pool and asset. Whatever value is in a pool came in under a tag that the ledger computed, and
/// a note's commitment and nullifier are hashes over its tag: neither is worth anything in another pool or chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AssetTag(pub Element);

impl AssetTag {
    /// The tag of `asset` in `pool`.
    pub fn new(pool: &Pool, asset: &AssetId) -> Self {
        Self(hash_to_element(ASSET_TAG, &[&pool.chain.0, &pool.number.to_le_bytes(), &asset.0]))
    }
}

/// A key's name in notes: a hash of its spending key and its nullifier key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Zeroize)]
pub struct Owner(pub Element);

/// The leaf that stands for a note.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Commitment(pub Element);

/// What a spend shows in place of the note that it spends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Nullifier(pub Element);

impl Commitment {
    /// Its one encoding.
    pub fn to_bytes(self) -> [u8; 32] {
        element_bytes(&self.0)
    }
}

impl Nullifier {
    /// Its one encoding.
    pub fn to_bytes(self) -> [u8; 32] {
        element_bytes(&self.0)
    }
}

/// What makes an owner's nullifiers: whoever has it sees which notes were spent.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct NullifierKey(pub(super) Element);

/// What an owner must know to spend.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SpendAuthority(pub(super) Element);

/// The owner of this pair of keys.
///
/// Both are hashed together, so nobody finds a second nullifier key for an owner, and with it a second nullifier for a
/// note, without a collision.
pub(super) fn owner(authority: &SpendAuthority, nullifier_key: &NullifierKey) -> Owner {
    let Ok(owner) = hash_2(HashDomain::Owner, [authority.0, nullifier_key.0]);
    Owner(owner)
}

/// Value of an asset that a key owns.
#[derive(Clone, PartialEq, Eq, Debug, Zeroize)]
pub struct Note {
    /// Of what.
    #[zeroize(skip)]
    pub asset: AssetTag,
    /// How much.
    pub value: u64,
    /// Whose.
    pub owner: Owner,
    /// Random: what hides the rest in the commitment.
    pub blinding: Element,
}

impl Note {
    /// The leaf that stands for it.
    pub fn commitment(&self) -> Commitment {
        let fields = [self.asset.0, Element::from(self.value), self.owner.0, self.blinding];
        let Ok(commitment) = hash_4(HashDomain::Note, fields);
        Commitment(commitment)
    }

    /// What spending it shows when its commitment is leaf number `position`.
    ///
    /// The position is in it, so two equal notes have two nullifiers and nobody can burn a note by sending its twin.
    pub fn nullifier(&self, key: &NullifierKey, position: u32) -> Nullifier {
        let fields = [key.0, self.commitment().0, Element::from(position)];
        let Ok(nullifier) = hash_3(HashDomain::Nullifier, fields);
        Nullifier(nullifier)
    }
}
