//! Ends of epochs and committee records: both stores answer alike, and a reopened store answers as before.

use super::*;
use crate::epochs::EpochStore;

fn ended(epoch: u64) -> EpochChange {
    let boundary = Header { version: 1, epoch: Epoch(epoch), end: End::Boundary, ..Chain::default().header(0) };
    let body = VoteBody {
        chain: ChainId::ZERO,
        shard: ShardId(0),
        epoch: Epoch(epoch),
        view: View(9),
        kind: VoteKind::Finalize,
        block: BlockDigest([epoch as u8; 32]),
    };
    let finalization = Certificate { body, signatures: BoundedVec::default() };
    let descendants = BoundedVec::new(vec![boundary.clone()]).unwrap();
    EpochChange { boundary, proof: BlockProof { descendants, finalization }, next: ValidatorSet::default() }
}

/// Ends of epochs in each form: of version 1, the first of version 2, and a later one.
fn transition(epoch: u64) -> EpochTransition {
    let change = ended(epoch);
    let header = change.boundary.clone();
    match epoch {
        0 => change.into(),
        1 => {
            let activation = ReadProof {
                entries: BoundedVec::default(),
                others: BoundedVec::default(),
                state: BoundedBytes::default(),
                header,
                proof: change.proof.clone(),
            };
            let parameters = Parameters::of(Rules::V1);
            EpochTransition::First(Box::new(FirstTerm { change, parameters, activation }))
        }
        _ => {
            let EpochChange { boundary, proof, next: validators } = change;
            let boundary = Header { version: 2, ..boundary };
            let term = Term {
                epoch: Epoch(epoch + 1),
                version: 2,
                validators: Hash([1; 32]),
                parameters: Hash([2; 32]),
                charter: Hash([3; 32]),
                operators: Hash([4; 32]),
                leaders: Hash::ZERO,
                change: Change::Parameters,
            };
            let parameters = Some(BoundedBytes::new(encode(&Parameters::of(Rules::V2))).unwrap());
            TermChange { boundary, proof, term, validators, parameters }.into()
        }
    }
}

fn fill(store: &dyn EpochStore) {
    for (height, record) in [(0, b"genesis"), (7, b"at sev."), (300, b"at 300.")] {
        store.put_committee_record(Height(height), record).unwrap();
    }
    (0..3).for_each(|epoch| store.put_epoch(&transition(epoch)).unwrap());
}

fn check(store: &dyn EpochStore) {
    let record = |height| store.committee_record(Height(height)).unwrap();
    assert_eq!([0, 6].map(record), [Some(b"genesis".to_vec()), Some(b"genesis".to_vec())]);
    assert_eq!([7, 299].map(record), [Some(b"at sev.".to_vec()), Some(b"at sev.".to_vec())]);
    assert_eq!([300, u64::MAX].map(record), [Some(b"at 300.".to_vec()), Some(b"at 300.".to_vec())]);
    for epoch in 0..3 {
        assert_eq!(store.epoch(Epoch(epoch)).unwrap(), Some(transition(epoch)));
    }
    assert_eq!(store.epoch(Epoch(3)).unwrap(), None);
}

#[test]
fn an_epochs_end_and_the_committee_records_are_found_again() {
    let memory = MemStore::new();
    assert_eq!(memory.committee_record(Height(9)).unwrap(), None);
    fill(&memory);
    check(&memory);
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    assert_eq!(store.committee_record(Height(9)).unwrap(), None);
    fill(&store);
    fill(&store);
    check(&store);
    drop(store);
    check(&open(folder.path()));
}

/// Stores of earlier releases have rows of version 1 without any mark.
#[test]
fn a_row_of_version_one_is_the_bytes_of_its_change() {
    let bytes = encode(&ended(0));
    assert_eq!(encode(&transition(0)), bytes);
    assert_eq!(rustorium_types::decode::<EpochTransition>(&bytes, bytes.len()).unwrap(), transition(0));
    assert_eq!(
        &encode(&transition(1))[..4],
        [0, 0, 1, 0],
        "the first term begins with zero, then its boundary's version"
    );
    assert_eq!(&encode(&transition(2))[..2], [2, 0]);
}
