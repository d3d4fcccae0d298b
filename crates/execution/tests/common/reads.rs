//! A chain whose state is rooted, and proofs of what it holds.

use super::*;
use rustorium_crypto::value_hash;
use rustorium_state::proof::open;
use rustorium_state::tables::Tables;
use rustorium_state::tree::{KeyChange, MemKv, update};
use rustorium_state::workers::Serial;
use std::sync::LazyLock;

pub static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::build(4).unwrap());

pub fn value_of(number: usize, key: &[u8]) -> Subject {
    Subject::Value(account(number), BoundedBytes::new(key.to_vec()).unwrap())
}

/// A chain with some values written, the tree over its state, and a final header that claims its root.
pub struct ReadChain {
    pub world: World,
    pub tree: MemKv,
    pub header: Header,
    pub proof: BlockProof,
}

impl ReadChain {
    pub fn new() -> Self {
        let mut world = World::with(Parameters::of(Rules::V1));
        let puts = (0..20u8).map(|n| world.sign_at(0, u64::from(n), vec![put(0, &[n], &[n; 9])])).collect::<Vec<_>>();
        world.run(&puts);
        Self::above(world)
    }

    /// A final header above the world's newest height, which claims the root of its state.
    pub fn above(world: World) -> Self {
        let diff: Vec<KeyChange> = world.state.iter().map(|(key, value)| (*key, Some(value_hash(value)))).collect();
        let mut tree = MemKv::default();
        let diff = update(&TABLES, &tree, &diff, &Serial).unwrap();
        let root = Hash(diff.root());
        tree.apply(diff);
        let height = world.header.height;
        let state = StateClaim::Rooted { height, first: Height(0), root };
        let header = Header { state, ..child(&world.header, ResultClaim { height, root: world.root }) };
        let proof = BlockProof { descendants: BoundedVec::default(), finalization: finalize(&header, &[0, 1, 3]) };
        Self { world, tree, header, proof }
    }

    pub fn root(&self) -> [u8; 32] {
        let StateClaim::Rooted { root, .. } = self.header.state else { unreachable!("it claims one") };
        root.0
    }

    pub fn prove(&self, mut subjects: Vec<Subject>, mut others: Vec<StateKey>) -> ReadProof {
        subjects.sort();
        others.sort();
        let keys: Vec<StateKey> = subjects.iter().map(subject_key).chain(others.iter().copied()).collect();
        let state = open(&self.tree, &self.root(), &keys).unwrap().to_bytes();
        let entry = |subject: Subject| {
            let value = self.world.state.get(&subject_key(&subject));
            (subject, value.map(|value| BoundedBytes::new(value.clone()).unwrap()))
        };
        ReadProof {
            entries: BoundedVec::new(subjects.into_iter().map(entry).collect()).unwrap(),
            others: BoundedVec::new(others).unwrap(),
            state: BoundedBytes::new(state).unwrap(),
            header: self.header.clone(),
            proof: self.proof.clone(),
        }
    }
}
