//! Proofs of the tree: they hold for true facts, for all kinds of absence, and for nothing else.

use crate::model::{change, parting_key, random_key, state_key, tables};
use proptest::prelude::*;
use rustorium_state::chunk::{ChunkError, ChunkSlot, NodeChunk};
use rustorium_state::path::Prefix;
use rustorium_state::proof::{OpenError, ProofBytesError, StateProof, VerifyError, open, verify};
use rustorium_state::tree::{KeyChange, KvRead, MemKv, update};
use rustorium_state::workers::Serial;
use rustorium_types::{Hash, StateKey};
use std::collections::{BTreeMap, BTreeSet};

/// A tree over some keys, each with its own value.
struct Known {
    tree: MemKv,
    values: BTreeMap<StateKey, Hash>,
    root: [u8; 32],
}

fn known(keys: impl IntoIterator<Item = [u8; 64]>) -> Known {
    let keys: BTreeSet<[u8; 64]> = keys.into_iter().collect();
    let diff: Vec<KeyChange> =
        keys.iter().zip((0_u8..=255).cycle()).map(|(key, value)| change(*key, Some(value))).collect();
    let mut tree = MemKv::default();
    let built = update(tables(), &tree, &diff, &Serial).unwrap();
    let root = built.root();
    tree.apply(built);
    Known { tree, values: diff.into_iter().map(|(key, value)| (key, value.unwrap())).collect(), root }
}

impl Known {
    fn want(&self, keys: &[StateKey]) -> Vec<Option<Hash>> {
        keys.iter().map(|key| self.values.get(key).copied()).collect()
    }

    fn open(&self, keys: &[StateKey]) -> StateProof {
        let proof = open(&self.tree, &self.root, keys).unwrap();
        assert_eq!(verify(&self.root, &proof, keys), Ok(self.want(keys)));
        assert_eq!(StateProof::from_bytes(&proof.to_bytes()).as_ref(), Ok(&proof));
        proof
    }
}

/// Returns a random key without the prefix of the parting keys.
fn spread_key(number: u64) -> [u8; 64] {
    let mut key = random_key(number);
    key[0] |= 1;
    key
}

/// Returns random keys, and some that share 30 and 62 bytes: every kind of path and end occurs.
fn mixed() -> Known {
    let shared = |at: usize| (1..5).map(move |byte| parting_key(at, byte));
    known((0..300).map(spread_key).chain(shared(30)).chain(shared(62)))
}

/// Returns keys with all kinds of end of a walk: leaf, empty slot, other leaf, diverging node.
fn ends() -> [StateKey; 4] {
    let mut diverging = parting_key(62, 1);
    diverging[40] = 9;
    let mut other_leaf = spread_key(7);
    other_leaf[63] ^= 1;
    [spread_key(5), parting_key(30, 200), other_leaf, diverging].map(state_key)
}

#[test]
fn each_kind_of_end_is_proved() {
    let known = mixed();
    assert_eq!(known.want(&ends()).iter().filter(|value| value.is_some()).count(), 1);
    for key in ends() {
        known.open(&[key]);
    }
    known.open(&ends());
    let [a, b, ..] = ends();
    assert_eq!(known.open(&[b, a, a, b]), known.open(&[a, b]));
}

#[test]
fn all_keys_are_proved_at_once() {
    let known = mixed();
    let keys: Vec<StateKey> =
        known.values.keys().copied().chain((1000..1200).map(|i| state_key(spread_key(i)))).collect();
    known.open(&keys);
}

#[test]
fn the_empty_tree_proves_absence() {
    let known = known([]);
    assert_eq!(known.open(&ends()).to_bytes().len(), 8 + 576);
}

#[test]
fn one_key_takes_less_than_a_kibibyte() {
    let known = known((0..20_000).map(spread_key).chain((0..64).map(|at| parting_key(at, 1))));
    for key in [spread_key(77), spread_key(99_999), parting_key(3, 1)] {
        let bytes = known.open(&[state_key(key)]).to_bytes().len();
        assert!(bytes < 1024, "{bytes}");
    }
}

#[test]
fn no_or_too_many_keys_and_another_root_are_refused() {
    let known = mixed();
    assert_eq!(open(&known.tree, &known.root, &[]), Err(OpenError::Keys(0)));
    let many: Vec<StateKey> = (0..1025).map(|i| state_key(spread_key(i))).collect();
    assert_eq!(open(&known.tree, &known.root, &many), Err(OpenError::Keys(1025)));
    assert_eq!(open(&known.tree, &[0; 32], &many[..1]), Err(OpenError::OtherRoot(Hash(known.root))));
    let proof = known.open(&many[..1]);
    assert_eq!(verify(&known.root, &proof, &[]), Err(VerifyError::Keys(0)));
    assert_eq!(verify(&known.root, &proof, &many), Err(VerifyError::Keys(1025)));
    let other = mixed_with_one_more();
    assert!(matches!(verify(&other.root, &proof, &many[..1]), Err(VerifyError::Refused(_))));
    assert!(matches!(verify(&[0xff; 32], &proof, &many[..1]), Err(VerifyError::Commitment(_))));
}

fn mixed_with_one_more() -> Known {
    known((0..301).map(spread_key))
}

#[test]
fn a_proof_is_for_its_keys_alone() {
    let known = mixed();
    let keys = ends();
    let proof = known.open(&keys);
    for without in 0..keys.len() {
        let fewer: Vec<StateKey> = (0..keys.len()).filter(|i| *i != without).map(|i| keys[i]).collect();
        assert!(verify(&known.root, &proof, &fewer).is_err());
        let mut other = keys;
        other[without] = state_key(spread_key(200));
        assert!(verify(&known.root, &proof, &other).is_err());
    }
    let more: Vec<StateKey> = keys.iter().copied().chain([state_key(spread_key(201))]).collect();
    assert!(verify(&known.root, &proof, &more).is_err());
}

fn refused(root: &[u8; 32], bytes: &[u8], keys: &[StateKey]) -> bool {
    match StateProof::from_bytes(bytes) {
        Err(_) => true,
        Ok(proof) => {
            assert_eq!(proof.to_bytes(), bytes);
            verify(root, &proof, keys).is_err()
        }
    }
}

/// Changes three bits of each byte of the keys' proof, and its length.
fn refuse_every_change(keys: &[StateKey]) {
    let known = mixed();
    let bytes = known.open(keys).to_bytes();
    for at in 0..bytes.len() {
        for bit in [0, 2, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(refused(&known.root, &changed, keys), "bit {bit} of byte {at} of {}", bytes.len());
        }
    }
    for byte in [0, 1, 255] {
        assert!(refused(&known.root, &[&bytes[..], &[byte]].concat(), keys));
    }
    for length in 0..bytes.len() {
        assert!(StateProof::from_bytes(&bytes[..length]).is_err());
    }
}

#[test]
fn every_changed_bit_is_refused() {
    refuse_every_change(&ends());
}

#[test]
fn every_changed_bit_of_one_keys_proof_is_refused() {
    refuse_every_change(&ends()[..1]);
}

/// The parts of an encoded proof.
struct Parts {
    nodes: Vec<(Vec<u8>, [u8; 32])>,
    leaves: Vec<[u8; 96]>,
    openings: Vec<u8>,
}

impl Parts {
    fn of(proof: &StateProof) -> Self {
        let bytes = proof.to_bytes();
        let mut rest = &bytes[..];
        let count = |rest: &mut &[u8]| u32::from_le_bytes(rest.split_off(..4).unwrap().try_into().unwrap());
        let nodes = (0..count(&mut rest)).map(|_| {
            let length = usize::from(rest.split_off(..1).unwrap()[0]);
            (rest.split_off(..length).unwrap().to_vec(), rest.split_off(..32).unwrap().try_into().unwrap())
        });
        let nodes = nodes.collect();
        let leaves = (0..count(&mut rest)).map(|_| rest.split_off(..96).unwrap().try_into().unwrap());
        Self { nodes, leaves: leaves.collect(), openings: rest.to_vec() }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = u32::try_from(self.nodes.len()).unwrap().to_le_bytes().to_vec();
        for (prefix, commitment) in &self.nodes {
            bytes.push(prefix.len() as u8);
            bytes.extend_from_slice(prefix);
            bytes.extend_from_slice(commitment);
        }
        bytes.extend_from_slice(&u32::try_from(self.leaves.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(self.leaves.as_flattened());
        bytes.extend_from_slice(&self.openings);
        bytes
    }
}

/// False claims: the leaf is missing, it is another one, its node is a leaf, the node below is the child.
#[test]
fn false_claims_about_a_slot_are_refused() {
    let known = mixed();
    let key = state_key(parting_key(62, 3));
    let proof = known.open(&[key]);
    let lie = |change: fn(&mut Parts)| {
        let mut parts = Parts::of(&proof);
        change(&mut parts);
        assert!(refused(&known.root, &parts.to_bytes(), &[key]));
    };
    let parts = Parts::of(&proof);
    assert_eq!(parts.nodes.iter().map(|(prefix, _)| prefix.len()).collect::<Vec<_>>(), [30, 62]);
    lie(|parts| parts.leaves.clear());
    lie(|parts| parts.nodes.clear());
    lie(|parts| parts.leaves[0][95] ^= 1);
    lie(|parts| parts.leaves[0][63] ^= 1);
    lie(|parts| drop(parts.nodes.remove(0)));
    lie(|parts| drop(parts.nodes.remove(1)));
    lie(|parts| parts.nodes.swap(0, 1));
    lie(|parts| parts.nodes[1].0.truncate(61));
    lie(|parts| parts.nodes[1].0[40] = 1);
    lie(|parts| parts.nodes[0].1 = parts.nodes[1].1);
    lie(|parts| parts.nodes.push((vec![9], parts.nodes[0].1)));
    lie(|parts| parts.nodes.insert(0, (vec![], parts.nodes[0].1)));
    lie(|parts| parts.nodes.push(parts.nodes[1].clone()));
    lie(|parts| parts.leaves.push([0xff; 96]));
    lie(|parts| parts.leaves.push(parts.leaves[0]));
    lie(|parts| parts.nodes[1].1 = [0xff; 32]);
}

/// Otherwise two files of different bytes would be the same proof.
#[test]
fn parts_out_of_order_or_twice_are_no_encoding_of_a_proof() {
    let known = mixed();
    let proof = known.open(&[parting_key(62, 3), parting_key(30, 2), spread_key(5)].map(state_key));
    let malformed = |change: fn(&mut Parts)| {
        let mut parts = Parts::of(&proof);
        assert!(parts.nodes.len() > 1 && parts.leaves.len() > 1);
        change(&mut parts);
        matches!(StateProof::from_bytes(&parts.to_bytes()), Err(ProofBytesError::Malformed(_)))
    };
    assert!(malformed(|parts| parts.leaves.swap(0, 1)));
    assert!(malformed(|parts| parts.leaves.push(*parts.leaves.last().unwrap())));
    assert!(malformed(|parts| parts.nodes.swap(0, 1)));
    assert!(malformed(|parts| parts.nodes.push(parts.nodes.last().unwrap().clone())));
    assert!(malformed(|parts| parts.nodes.insert(0, (vec![], [0; 32]))));
}

#[test]
fn counts_are_checked_before_anything_is_allocated() {
    let huge = [u32::MAX.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat();
    assert_eq!(StateProof::from_bytes(&huge), Err(ProofBytesError::Short));
    let huge = [[0; 4], u32::MAX.to_le_bytes(), [0; 4], [0; 4]].concat();
    assert_eq!(StateProof::from_bytes(&huge), Err(ProofBytesError::Short));
    assert_eq!(StateProof::from_bytes(&vec![0; 5 << 20]), Err(ProofBytesError::TooLarge(5 << 20)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_keys_of_any_tree_are_proved(
        there in proptest::collection::btree_set((0_usize..64, 0_u8..3).prop_map(|(at, byte)| parting_key(at, byte)), 0..30),
        random in 0_u64..30,
        asked in proptest::collection::vec((0_usize..64, 0_u8..4).prop_map(|(at, byte)| parting_key(at, byte)), 1..20),
    ) {
        let known = known(there.into_iter().chain((0..random).map(spread_key)));
        let asked: Vec<StateKey> = asked.into_iter().chain((0..random * 2).map(spread_key)).map(state_key).collect();
        known.open(&asked);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..800), small in any::<bool>()) {
        let mut bytes = bytes;
        if small && bytes.len() > 4 {
            bytes[1..4].fill(0);
        }
        prop_assert!(StateProof::from_bytes(&bytes).is_err());
        prop_assert!(NodeChunk::from_bytes(&bytes).map_or(true, |chunk| chunk.to_bytes() == bytes));
    }
}

/// Walks the whole tree by chunks, each checked against the commitment in its parent's.
fn sync(known: &Known, node: Prefix, commitment: [u8; 32], leaves: &mut BTreeMap<StateKey, Hash>) {
    let bytes = NodeChunk::read(&known.tree, &node).unwrap().to_bytes();
    let chunk = NodeChunk::from_bytes(&bytes).unwrap();
    assert_eq!(chunk.verify(tables(), &node, &commitment).unwrap().encode(), commitment);
    for (_, slot) in chunk.slots() {
        match slot {
            ChunkSlot::Leaf(leaf) => assert_eq!(leaves.insert(leaf.key, leaf.value), None),
            ChunkSlot::Inner { prefix, commitment } => sync(known, *prefix, *commitment, leaves),
        }
    }
}

#[test]
fn chunks_carry_the_whole_tree() {
    let known = mixed();
    let mut leaves = BTreeMap::new();
    sync(&known, Prefix::EMPTY, known.root, &mut leaves);
    assert_eq!(leaves, known.values);
    assert_eq!(NodeChunk::read(&MemKv::default(), &Prefix::EMPTY).unwrap().to_bytes().len(), 0);
}

/// Otherwise two files of different bytes would be the same chunk: a commitment is a sum, which has no order.
#[test]
fn slots_out_of_order_or_twice_are_no_encoding_of_a_chunk() {
    let known = known((1..4).map(|byte| parting_key(0, byte)));
    let bytes = NodeChunk::read(&known.tree, &Prefix::EMPTY).unwrap().to_bytes();
    let [one, two, three] = bytes.as_chunks::<98>().0 else { panic!("three leaves, each in a slot of its own") };
    assert!(NodeChunk::from_bytes(&[*one, *two, *three].concat()).is_ok());
    for wrong in [[two, one, three], [one, three, two], [one, two, two]] {
        let wrong = wrong.map(|slot| *slot).concat();
        assert!(matches!(NodeChunk::from_bytes(&wrong), Err(ChunkError::Malformed(_))));
    }
}

#[test]
fn a_chunk_with_a_change_or_a_gap_is_refused() {
    let known = mixed();
    let top = NodeChunk::read(&known.tree, &Prefix::EMPTY).unwrap();
    let (node, commitment) = top
        .slots()
        .iter()
        .find_map(|(_, slot)| match slot {
            ChunkSlot::Inner { prefix, commitment } if prefix.length() == 30 => Some((*prefix, *commitment)),
            _ => None,
        })
        .unwrap();
    let bytes = NodeChunk::read(&known.tree, &node).unwrap().to_bytes();
    let passes = |bytes: &[u8]| {
        NodeChunk::from_bytes(bytes).is_ok_and(|chunk| chunk.verify(tables(), &node, &commitment).is_ok())
    };
    assert!(passes(&bytes));
    for at in 0..bytes.len() {
        for bit in [0, 2, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(!passes(&changed), "bit {bit} of byte {at}");
        }
        assert!(!passes(&bytes[..at]));
    }
    assert!(!passes(&[&bytes[..], &bytes[..98]].concat()));
    let chunk = NodeChunk::from_bytes(&bytes).unwrap();
    let elsewhere = Prefix::new(&[2]).unwrap(); // no key begins so
    assert!(matches!(chunk.verify(tables(), &elsewhere, &commitment), Err(ChunkError::Misplaced(_))));
    assert_eq!(chunk.verify(tables(), &node, &known.root), Err(ChunkError::Refused));
    assert_eq!(known.tree.node(&elsewhere).unwrap(), []);
}
