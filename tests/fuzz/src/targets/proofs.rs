//! Proof files and the changes from one committee to the next: only true facts are accepted.

use super::canonical;
use crate::corpus::{bytes_of, vectors};
use rustorium_api::json::FactsView;
use rustorium_crypto::block_digest;
use rustorium_execution::{Light, ProofRefused, Trust, check_read, check_receipt, check_transaction, header_of};
use rustorium_types::limits::GENESIS_BYTES_MAX;
use rustorium_types::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// A genesis of the vectors, as a light client knows it, and what is true on its chain.
struct Chain {
    light: Light,
    /// Digests of its final headers.
    headers: BTreeSet<BlockDigest>,
    /// The contents of subjects, by state root.
    held: BTreeMap<(Hash, Subject), LeafValue>,
    receipts: BTreeSet<Vec<u8>>,
    transactions: BTreeSet<Vec<u8>>,
}

fn decoded(case: &serde_json::Value) -> Proof {
    decode(&bytes_of(case, "bytes"), PROOF_BYTES_MAX).unwrap()
}

impl Chain {
    fn new(genesis: &[u8]) -> Self {
        let genesis: Genesis = decode(genesis, GENESIS_BYTES_MAX).unwrap();
        Self {
            light: Light::new(Trust::genesis(&genesis), None),
            headers: BTreeSet::new(),
            held: BTreeMap::new(),
            receipts: BTreeSet::new(),
            transactions: BTreeSet::new(),
        }
    }

    fn learn(&mut self, case: &serde_json::Value) {
        for change in case["epochs"].as_array().into_iter().flatten() {
            let change: EpochTransition =
                decode(&hex::decode(change.as_str().unwrap()).unwrap(), PROOF_BYTES_MAX).unwrap();
            self.light.follow(&change, 0).unwrap();
        }
        let proof = decoded(case);
        self.headers.insert(block_digest(header_of(&proof)));
        match proof {
            Proof::Read(read) => {
                let StateClaim::Rooted { root, .. } = read.header.state else { panic!("a good read has a root") };
                self.held.extend(read.entries.iter().map(|(subject, value)| ((root, subject.clone()), value.clone())));
            }
            Proof::Receipt(receipt) => drop(self.receipts.insert(encode(&receipt.receipt))),
            Proof::Transaction(whole) => {
                self.receipts.insert(encode(&whole.receipt.receipt));
                self.transactions.insert(encode(&whole.transaction));
            }
            Proof::Block(_) => {}
        }
    }

    fn assert_true(&self, proof: &Proof) {
        assert!(self.headers.contains(&block_digest(header_of(proof))), "a header that nobody made final");
        match proof {
            Proof::Read(read) => {
                let StateClaim::Rooted { root, .. } = read.header.state else { panic!("shown without a root") };
                for (subject, value) in &read.entries {
                    // One proof shows that many keys are absent: all whose path ends at the same place.
                    let held = self.held.get(&(root, subject.clone())).unwrap_or(&None);
                    assert_eq!(held, value, "another value than the state's");
                }
            }
            Proof::Receipt(receipt) => assert!(self.receipts.contains(&encode(&receipt.receipt)), "another receipt"),
            Proof::Transaction(whole) => {
                assert!(self.receipts.contains(&encode(&whole.receipt.receipt)), "another receipt");
                assert!(self.transactions.contains(&encode(&whole.transaction)), "another transaction");
            }
            Proof::Block(_) => {}
        }
    }
}

static CHAINS: LazyLock<Vec<Chain>> = LazyLock::new(|| {
    let mut chains: BTreeMap<Vec<u8>, Chain> = BTreeMap::new();
    for case in vectors("proofs.json").iter().filter(|case| !case["shows"].is_null()) {
        let genesis = bytes_of(case, "genesis");
        chains.entry(genesis.clone()).or_insert_with(|| Chain::new(&genesis)).learn(case);
    }
    // Blocks that are final, and refused only because of the data beside them.
    for case in vectors("proofs.json").iter().filter(|case| case["shows"].is_null() && case["epochs"].is_array()) {
        let digest = block_digest(header_of(&decoded(case)));
        chains.get_mut(&bytes_of(case, "genesis")).unwrap().headers.insert(digest);
    }
    chains.into_values().collect()
});

/// Checks a proof as a client does, and again as if the certificate were valid: an attacker can't make one, and a
/// mutation almost always breaks it first.
pub fn proof(input: &[u8]) {
    let Some(proof) = canonical::<Proof>(input, PROOF_BYTES_MAX) else { return };
    for chain in CHAINS.iter() {
        if let Ok(shown) = chain.light.clone().check(&proof, 0) {
            chain.assert_true(&proof);
            let facts = FactsView::new(chain.light.newest().chain, &proof, &shown).unwrap();
            serde_json::to_string(&facts).unwrap();
        }
        let digest = block_digest(header_of(&proof));
        let is_final = || if chain.headers.contains(&digest) { Ok(digest) } else { Err(ProofRefused::OtherBlock) };
        let checked = match &proof {
            Proof::Read(read) => check_read(read, &Charter::ONE_SHARD, is_final).map(|_| ()),
            Proof::Receipt(receipt) => {
                check_receipt(receipt, &Charter::ONE_SHARD).and_then(|()| is_final().map(|_| ()))
            }
            Proof::Transaction(whole) => {
                check_transaction(whole, &Charter::ONE_SHARD).and_then(|()| is_final().map(|_| ()))
            }
            Proof::Block(_) => is_final().map(|_| ()),
        };
        if checked.is_ok() {
            chain.assert_true(&proof);
        }
    }
}

pub fn proofs() -> Vec<Vec<u8>> {
    vectors("proofs.json").iter().map(|case| bytes_of(case, "bytes")).collect()
}

/// A change leads only to the committee that the change before it named.
pub fn epoch_change(input: &[u8]) {
    let Some(change) = canonical::<EpochTransition>(input, PROOF_BYTES_MAX) else { return };
    for chain in CHAINS.iter() {
        let mut light = chain.light.clone();
        let known = encode(light.newest());
        if light.follow(&change, 0).is_ok() {
            assert_eq!(encode(light.newest()), known, "a committee that nobody named");
        }
    }
}

pub fn epoch_changes() -> Vec<Vec<u8>> {
    let cases = vectors("proofs.json").into_iter();
    let changes = cases.flat_map(|case| case["epochs"].as_array().cloned().unwrap_or_default());
    changes.map(|change| hex::decode(change.as_str().unwrap()).unwrap()).collect()
}

pub fn checkpoint(input: &[u8]) {
    if let Ok(trust) = Trust::from_checkpoint(input) {
        assert!(trust.to_checkpoint() == input, "a second encoding of a checkpoint");
    }
}

pub fn checkpoints() -> Vec<Vec<u8>> {
    let trusts = CHAINS.iter().map(|chain| chain.light.newest());
    trusts.flat_map(|trust| [encode(trust), trust.to_checkpoint()]).collect()
}

pub fn trust_state(input: &[u8]) {
    if let Ok(light) = Light::from_bytes(input, None) {
        assert!(light.to_bytes() == input, "a second encoding of a light client's state");
    }
}

pub fn trust_states() -> Vec<Vec<u8>> {
    CHAINS.iter().map(|chain| chain.light.to_bytes()).collect()
}
