//! The shards that a chain begins with: their ranges of accounts, and their committees.
//!
//! *Invariants:* each account is in exactly one shard's charter; the root shard has the lowest accounts.

use crate::address::AccountId;
use crate::codec::BoundedVec;
use crate::genesis::{Genesis, ValidatorSet};
use crate::ids::ShardId;
use crate::limits::VALIDATORS_MAX;
use crate::term::Charter;
use borsh::{BorshDeserialize, BorshSerialize};

/// A shard of a chain that begins with several. A shard's number is its place in the list.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GenesisShard {
    /// The first account id of the shard: zero for the root shard, and above the one before it for each other.
    pub from: AccountId,
    /// The first committee: places in `Genesis::validators`, in the order of the members' indexes.
    pub members: BoundedVec<u16, VALIDATORS_MAX>,
}

impl Genesis {
    /// Returns the shards that the chain begins with, in order: one if the genesis lists none.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards.len().max(1) as u32).map(ShardId)
    }

    /// Tells if the chain begins with this shard.
    pub fn has_shard(&self, shard: ShardId) -> bool {
        (shard.0 as usize) < self.shards.len().max(1)
    }

    /// Returns the charter that a shard begins with. A shard that the genesis doesn't list has no account; if it lists none,
    /// the shard has all.
    pub fn charter(&self, shard: ShardId) -> Charter {
        if self.shards.is_empty() {
            return Charter::whole(shard);
        }
        let first = |place: usize| self.shards.get(place).map(|listed| listed.from);
        let (place, lowest) = (shard.0 as usize, AccountId::default());
        let (from, to) = first(place).map_or((lowest, Some(lowest)), |from| (from, first(place + 1)));
        Charter { shard, from, to, generation: 0 }
    }

    /// Returns a shard's first committee. A shard that the genesis doesn't list has no members; if it lists none, the shard
    /// has all validators.
    pub fn committee(&self, shard: ShardId) -> ValidatorSet {
        if self.shards.is_empty() {
            return self.validators.clone();
        }
        let members = self.shards.get(shard.0 as usize).map_or(&[][..], |listed| listed.members.as_slice());
        let named = members.iter().filter_map(|place| self.validators.get(usize::from(*place)).cloned());
        // Not more than the list of places may hold, which has the same bound.
        BoundedVec::new(named.collect()).unwrap_or_default()
    }

    /// Returns the shard that an account is in at the start.
    pub fn shard_of(&self, account: &AccountId) -> ShardId {
        let at_or_below = self.shards.partition_point(|listed| listed.from <= *account);
        ShardId(at_or_below.saturating_sub(1) as u32)
    }
}
