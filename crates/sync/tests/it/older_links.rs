//! Answers to peers of 0.2.0, which can't decode what only version 2 has.

use crate::common::*;
use rustorium_sync::for_link;
use rustorium_types::*;

fn ended(version: u16) -> EpochChange {
    let Block { header, .. } = run(1, 1).remove(0);
    let finalization = certificate(5, BlockDigest([1; 32])).into_inner();
    let proof = BlockProof { descendants: BoundedVec::default(), finalization };
    EpochChange { boundary: Header { version, ..header }, proof, next: ValidatorSet::default() }
}

fn first() -> EpochTransition {
    let change = ended(1);
    let activation = ReadProof {
        entries: BoundedVec::default(),
        others: BoundedVec::default(),
        state: BoundedBytes::default(),
        header: change.boundary.clone(),
        proof: change.proof.clone(),
    };
    FirstTerm { change, parameters: Parameters::of(Rules::V1), activation }.into()
}

fn later() -> EpochTransition {
    let EpochChange { boundary, proof, next: validators } = ended(2);
    let hashes = [boundary.validator_set, boundary.parameters, boundary.shard_map];
    let [validators_hash, parameters_hash, charter] = hashes;
    let term = Term {
        epoch: Epoch(1),
        version: 2,
        validators: validators_hash,
        parameters: parameters_hash,
        charter,
        operators: Hash::ZERO,
        leaders: Hash::ZERO,
        change: Change::None,
    };
    TermChange { boundary, proof, term, validators, parameters: None }.into()
}

fn snapshot(versions: &[u16]) -> Response {
    let blocks = run(versions.len(), 1);
    let headers = blocks.into_iter().zip(versions).map(|(block, version)| Header { version: *version, ..block.header });
    let snapshot = Snapshot {
        height: Height(1),
        headers: BoundedVec::new(headers.collect()).unwrap(),
        finalization: certificate(5, BlockDigest([1; 32])).into_inner(),
        result_root: Hash::ZERO,
        links: BoundedVec::default(),
    };
    Response::State(Box::new(StateAnswer::Snapshot(snapshot)))
}

#[test]
fn a_peer_of_the_first_release_gets_the_first_term_as_a_plain_end() {
    let shown = for_link(Response::EpochEnd(first()), link_version::FIRST);
    assert_eq!(shown, Response::EpochEnd(ended(1).into()));
    // Its release reads the bytes of the change itself.
    let Response::EpochEnd(change) = shown else { panic!("it is an end") };
    assert_eq!(encode(&change), encode(&ended(1)));
}

#[test]
fn a_peer_of_the_first_release_gets_neither_terms_nor_snapshots_of_version_two() {
    for refused in [Response::EpochEnd(later()), snapshot(&[2, 2]), snapshot(&[1, 2])] {
        assert_eq!(for_link(refused, link_version::FIRST), Response::NotHeld);
    }
}

#[test]
fn everything_else_is_answered_on_every_link() {
    let plain = Response::EpochEnd(ended(1).into());
    for version in [link_version::FIRST, link_version::DIGESTS] {
        for answer in [plain.clone(), snapshot(&[1, 1]), Response::NotHeld] {
            assert_eq!(for_link(answer.clone(), version), answer);
        }
    }
    for answer in [Response::EpochEnd(first()), Response::EpochEnd(later()), snapshot(&[2, 2])] {
        assert_eq!(for_link(answer.clone(), link_version::DIGESTS), answer);
    }
}
