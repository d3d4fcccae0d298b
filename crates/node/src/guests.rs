//! Node keys outside the committee that are let in by name, each with a place at the peer port that strangers can't take.
//!
//! *Invariants:* bounded: the named ones by the configuration, the target by a committee's size, former members by epochs and
//! in number; the net's validators by the genesis.

use parking_lot::RwLock;
use rustorium_storage::{Store, StoreError};
use rustorium_types::{Epoch, Genesis, PublicKey, ValidatorSet};
use std::collections::{BTreeSet, VecDeque};

/// Epochs whose members may ask how they ended, and the members of those in all.
const FORMER_EPOCHS: usize = 256;
const FORMER_KEYS: usize = 1_024;

#[derive(Default)]
struct Keys {
    /// Keys that the configuration or an order of the owner names.
    named: BTreeSet<PublicKey>,
    /// Keys of the validators of all shards, on a net of several: each node hosts the root shard, member or not (S13).
    registered: BTreeSet<PublicKey>,
    /// Keys of the committee that operators want.
    target: BTreeSet<PublicKey>,
    /// Keys of former committees, the newest first.
    former: VecDeque<Vec<PublicKey>>,
    /// All of these.
    all: BTreeSet<PublicKey>,
}

impl Keys {
    fn gather(&mut self) {
        let mut keys = BTreeSet::new();
        for key in self.former.iter().flatten() {
            if keys.len() >= FORMER_KEYS {
                break;
            }
            keys.insert(*key);
        }
        keys.extend(self.target.iter());
        keys.extend(self.named.iter());
        keys.extend(self.registered.iter());
        self.all = keys;
    }
}

/// Keys that are let in by name.
#[derive(Default)]
pub struct Guests(RwLock<Keys>);

impl Guests {
    /// Those that the configuration names.
    pub fn named(keys: BTreeSet<PublicKey>) -> Self {
        let guests = Self::default();
        guests.set_named(keys);
        guests
    }

    /// Lets the validators of the net's other shards in, too.
    pub fn with_validators_of(self, genesis: &Genesis) -> Self {
        if genesis.shard_ids().nth(1).is_some() {
            self.change(|keys| keys.registered = node_keys(&genesis.validators).into_iter().collect());
        }
        self
    }

    fn change(&self, change: impl FnOnce(&mut Keys)) {
        let mut keys = self.0.write();
        change(&mut keys);
        keys.gather();
    }

    /// Takes the members of the epochs before `epoch` from the store; `first` are those of epoch 0. Errors: the store's.
    pub fn read_former(&self, store: &dyn Store, first: &ValidatorSet, epoch: Epoch) -> Result<(), StoreError> {
        let mut former = VecDeque::new();
        let mut distinct = BTreeSet::new();
        for past in (0..epoch.0).rev().take(FORMER_EPOCHS) {
            let members = match past.checked_sub(1) {
                // A store that was filled from a snapshot lacks the oldest ones.
                Some(before) => store.epoch(Epoch(before))?.map(|change| node_keys(change.validators())),
                None => Some(node_keys(first)),
            };
            let Some(members) = members else { break };
            distinct.extend(members.iter().copied());
            former.push_back(members);
            if distinct.len() >= FORMER_KEYS {
                break;
            }
        }
        self.change(|keys| keys.former = former);
        Ok(())
    }

    /// Names other keys from now on.
    pub fn set_named(&self, named: BTreeSet<PublicKey>) {
        self.change(|keys| keys.named = named);
    }

    /// The committee that operators want is another.
    pub fn set_target(&self, target: BTreeSet<PublicKey>) {
        self.change(|keys| keys.target = target);
    }

    /// An epoch is over, which had these members.
    pub fn end_epoch(&self, members: &ValidatorSet) {
        self.change(|keys| {
            keys.former.push_front(node_keys(members));
            keys.former.truncate(FORMER_EPOCHS);
        });
    }

    /// Returns whether the owner named this key.
    pub fn is_named(&self, key: &PublicKey) -> bool {
        self.0.read().named.contains(key)
    }

    /// Returns whether this key is admitted by name.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0.read().all.contains(key)
    }

    /// All of them.
    pub fn keys(&self) -> BTreeSet<PublicKey> {
        self.0.read().all.clone()
    }
}

fn node_keys(members: &ValidatorSet) -> Vec<PublicKey> {
    members.iter().map(|member| member.node_key).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_types::{AccountId, BoundedBytes, BoundedVec, GenesisShard, Parameters, Validator};

    fn committee(keys: impl Iterator<Item = u16>) -> ValidatorSet {
        let key = |number: u16| {
            let mut key = [0; 32];
            key[..2].copy_from_slice(&number.to_le_bytes());
            key
        };
        let member = |number| Validator {
            name: BoundedBytes::default(),
            validator_key: key(number),
            node_key: key(number),
            owner_key: key(number),
            region: 0,
            address: BoundedBytes::default(),
        };
        BoundedVec::new(keys.map(member).collect()).unwrap()
    }

    #[test]
    fn named_wanted_and_former_keys_are_let_in() {
        let guests = Guests::named([[1; 32]].into());
        guests.set_target([[2; 32]].into());
        guests.end_epoch(&committee(3..4));
        let former = node_keys(&committee(3..4))[0];
        assert_eq!(guests.keys(), [[1; 32], [2; 32], former].into());
        assert!([[1; 32], [2; 32], former].iter().all(|key| guests.contains(key)));
        assert!(!guests.contains(&[4; 32]) && !guests.is_named(&[2; 32]));
        guests.set_named(BTreeSet::new());
        assert!(!guests.contains(&[1; 32]));
    }

    #[test]
    fn validators_of_a_net_of_several_shards_are_let_in_whatever_the_owner_names() {
        let one = crate::outside::made::genesis_of(1, 1_000, Parameters::default());
        assert!(Guests::default().with_validators_of(&one).keys().is_empty());
        let shard = |from| GenesisShard { from: AccountId([from; 32]), members: BoundedVec::default() };
        let two = Genesis { shards: BoundedVec::new(vec![shard(0), shard(9)]).unwrap(), ..one };
        let guests = Guests::default().with_validators_of(&two);
        guests.set_named(BTreeSet::new());
        assert_eq!(guests.keys(), node_keys(&two.validators).into_iter().collect());
        assert!(!guests.is_named(&two.validators[0].node_key));
    }

    #[test]
    fn former_members_are_bounded_by_epochs_and_in_number() {
        let guests = Guests::default();
        for epoch in 0..300 {
            guests.end_epoch(&committee(epoch..epoch + 1));
        }
        assert_eq!(guests.keys().len(), FORMER_EPOCHS);
        assert!(guests.contains(&node_keys(&committee(299..300))[0]), "the newest stay");
        for epoch in 0..20 {
            guests.end_epoch(&committee(epoch * 100..epoch * 100 + 100));
        }
        assert_eq!(guests.keys().len(), FORMER_KEYS);
    }
}
