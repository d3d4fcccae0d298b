//! A read's proof is accepted as made, proves only what the state holds, and is refused with anything changed.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::value_hash;
use rustorium_execution::*;
use rustorium_state::proof::VerifyError;
use rustorium_state::tree::{KeyChange, MemKv, update};
use rustorium_state::workers::Serial;
use rustorium_types::*;
use std::sync::LazyLock;

static CHAIN: LazyLock<ReadChain> = LazyLock::new(ReadChain::new);

fn subjects() -> Vec<Subject> {
    vec![
        Subject::Account(account(0)),
        Subject::Account(account(9)),
        Subject::Balance(account(1), gold()),
        value_of(0, &[3]),
        value_of(0, &[5]),
        value_of(0, b"absent"),
        value_of(2, &[3]),
    ]
}

fn sample() -> ReadProof {
    CHAIN.prove(subjects(), vec![subject_key(&value_of(0, &[7])), subject_key(&value_of(3, b"other"))])
}

fn refused(change: impl FnOnce(&mut ReadProof)) -> ProofRefused {
    let mut proof = sample();
    change(&mut proof);
    verify_read(&CHAIN.world.genesis, &proof).unwrap_err()
}

#[test]
fn values_and_absence_are_shown_with_where_they_hold() {
    let proof = sample();
    let shown = verify_read(&CHAIN.world.genesis, &proof).unwrap();
    assert_eq!((shown.height, shown.root.0), (CHAIN.world.header.height, CHAIN.root()));
    assert_eq!((shown.claimed_at, shown.time_ms), (CHAIN.header.height, CHAIN.header.time_ms));
    let held: Vec<bool> = proof.entries.iter().map(|(_, value)| value.is_some()).collect();
    assert_eq!(held.iter().filter(|held| **held).count(), 4);
    for subject in subjects() {
        assert!(verify_read(&CHAIN.world.genesis, &CHAIN.prove(vec![subject], vec![])).is_ok());
    }
}

#[test]
fn a_fact_that_the_state_does_not_hold_is_refused() {
    let other = |p: &mut ReadProof, at: usize, value: &[u8]| {
        edit(&mut p.entries, |e| e[at].1 = Some(BoundedBytes::new(value.to_vec()).unwrap()));
    };
    let at = |subject: Subject| sample().entries.iter().position(|(found, _)| *found == subject).unwrap();
    let (three, five, absent) = (at(value_of(0, &[3])), at(value_of(0, &[5])), at(value_of(0, b"absent")));
    assert_eq!(refused(|p| other(p, three, &[4; 9])), ProofRefused::OtherValue(three));
    assert_eq!(refused(|p| other(p, absent, b"")), ProofRefused::OtherValue(absent));
    assert_eq!(refused(|p| edit(&mut p.entries, |e| e[three].1 = None)), ProofRefused::OtherValue(three));
    let swap = |p: &mut ReadProof| {
        edit(&mut p.entries, |e| {
            let value = e[three].1.take();
            e[three].1 = e[five].1.take();
            e[five].1 = value;
        });
    };
    assert_eq!(refused(swap), ProofRefused::OtherValue(three));
}

#[test]
fn another_form_of_the_same_proof_is_refused() {
    let unordered = ProofRefused::Unordered;
    assert_eq!(refused(|p| edit(&mut p.entries, |e| e.swap(0, 1))), unordered);
    assert_eq!(refused(|p| edit(&mut p.entries, |e| e.insert(1, e[0].clone()))), unordered);
    assert_eq!(refused(|p| p.entries = BoundedVec::default()), unordered);
    assert_eq!(refused(|p| edit(&mut p.others, |o| o.swap(0, 1))), unordered);
    assert_eq!(refused(|p| edit(&mut p.others, |o| o[1] = o[0])), unordered);
    let own = subject_key(&sample().entries[2].0);
    let twice = |p: &mut ReadProof| {
        edit(&mut p.others, |o| {
            o.push(own);
            o.sort();
        });
    };
    assert_eq!(refused(twice), unordered);
    let unneeded = ProofRefused::State(VerifyError::Unneeded);
    // A leaf in the proof whose key isn't asked for any more.
    let shown = subject_key(&value_of(0, &[7]));
    assert_eq!(refused(|p| edit(&mut p.others, |o| o.retain(|key| *key != shown))), unneeded);
    assert!(matches!(refused(|p| p.state = BoundedBytes::default()), ProofRefused::StateBytes(_)));
}

#[test]
fn a_header_that_does_not_claim_the_root_shows_nothing() {
    let again = |p: &mut ReadProof, header: Header| {
        p.proof.finalization = finalize(&header, &[0, 1, 2]);
        p.header = header;
    };
    let none = |p: &mut ReadProof| again(p, Header { state: StateClaim::NoneYet, ..p.header.clone() });
    assert_eq!(refused(none), ProofRefused::NoStateClaim);
    // A quorum finalized the header, and it claims the root of another state, such as an older one.
    let mut older = MemKv::default();
    let start = genesis(&CHAIN.world.genesis, ShardId::ROOT).diff;
    let start: Vec<KeyChange> = start.iter().map(|w| (w.key, w.value.as_deref().map(value_hash))).collect();
    let diff = update(&TABLES, &older, &start, &Serial).unwrap();
    let root = Hash(diff.root());
    older.apply(diff);
    let stale = |p: &mut ReadProof| {
        let state = StateClaim::Rooted { height: Height(0), first: Height(0), root };
        again(p, Header { state, ..p.header.clone() });
    };
    assert!(matches!(refused(stale), ProofRefused::State(VerifyError::Refused(_))));
    // Only the claim, on a header that nobody signed.
    let forged = |p: &mut ReadProof| p.header.state = StateClaim::Rooted { height: Height(0), first: Height(0), root };
    assert_eq!(refused(forged), ProofRefused::OtherBlock);
}

#[test]
fn other_signers_are_refused() {
    assert_eq!(
        refused(|p| edit(&mut p.proof.finalization.signatures, |s| s.truncate(2))),
        ProofRefused::BadCertificate
    );
    let strangers = |p: &mut ReadProof| {
        edit(&mut p.proof.finalization.signatures, |s| {
            for (index, signature) in s.iter_mut() {
                *signature = signer(0).sign_vote(*index, p.proof.finalization.body).signature;
            }
        });
    };
    assert_eq!(refused(strangers), ProofRefused::BadCertificate);
    let mut genesis = CHAIN.world.genesis.clone();
    genesis.time_ms += 1;
    assert_eq!(verify_read(&genesis, &sample()), Err(ProofRefused::OtherChain));
    let mut committee = CHAIN.world.genesis.clone();
    edit(&mut committee.validators, |v| v.swap(0, 1));
    assert_eq!(verify_read(&committee, &sample()), Err(ProofRefused::OtherChain));
}

#[test]
fn a_transaction_is_shown_with_its_receipt() {
    let mut world = World::new();
    let before = world.root;
    let block: Vec<_> = (0..3).map(|nonce| world.sign_at(0, nonce, vec![put(0, &[nonce as u8], b"v")])).collect();
    let first = world.run(&block);
    let claiming = child(&world.header, ResultClaim { height: world.header.height, root: world.root });
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: finalize(&claiming, &[0, 2, 3]) };
    let receipt = prove_receipt(&first.receipts, 1, before, vec![first.link], claiming, proof).unwrap();
    let shown =
        TransactionProof { transaction: signer(0).sign_transaction(block[1].body.clone()).into_inner(), receipt };
    assert_eq!(verify_transaction(&world.genesis, &shown), Ok(()));
    let other = TransactionProof { transaction: block[2].clone().into(), ..shown.clone() };
    assert_eq!(verify_transaction(&world.genesis, &other), Err(ProofRefused::OtherTransaction));
    let mut unsigned = shown;
    let Transaction::V1(first) = &mut unsigned.transaction else { unreachable!("made in the form of version 1") };
    first.signature[7] ^= 1;
    assert_eq!(verify_transaction(&world.genesis, &unsigned), Err(ProofRefused::BadSignature));
}

#[test]
fn the_limits_are_those_of_the_state_proofs() {
    assert_eq!(PROOF_KEYS_MAX, rustorium_state::proof::PROOF_KEYS_MAX);
    assert_eq!(STATE_PROOF_BYTES_MAX, rustorium_state::proof::PROOF_BYTES_MAX);
}

/// Returns true if a changed proof is refused, or proves another true fact: where one key is absent, so are its
/// neighbours.
fn refused_or_true(changed: &ReadProof) -> bool {
    verify_read(&CHAIN.world.genesis, changed).is_err()
        || changed.entries.iter().all(|(subject, value)| {
            let held = CHAIN.world.state.get(&subject_key(subject));
            held.map(Vec::as_slice) == value.as_ref().map(BoundedBytes::as_slice)
        })
}

fn any_proof() -> Proof {
    Proof::Read(Box::new(sample()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_bit_and_no_cut_shows_a_false_fact(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let mut bytes = encode(&any_proof());
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        if let Ok(Proof::Read(changed)) = decode::<Proof>(&bytes, PROOF_BYTES_MAX) {
            prop_assert!(refused_or_true(&changed), "byte {at}");
        }
    }

    #[test]
    fn bytes_of_anyone_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), head in 0usize..4_000) {
        // Random bytes after the start of a real proof, so that the inner parts are reached.
        let mut made = encode(&any_proof());
        made.truncate(head);
        made.extend(bytes);
        if let Ok(Proof::Read(changed)) = decode::<Proof>(&made, PROOF_BYTES_MAX) {
            prop_assert!(refused_or_true(&changed));
        }
    }
}
