//! Ends of epochs and committee records: both stores answer alike, and a reopened store answers as before.

use super::*;
use crate::epochs::EpochStore;

fn change(epoch: u64) -> EpochChange {
    let boundary = Header { epoch: Epoch(epoch), end: End::Boundary, ..Chain::default().header(0) };
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

fn fill(store: &dyn EpochStore) {
    for (height, record) in [(0, b"genesis"), (7, b"at sev."), (300, b"at 300.")] {
        store.put_committee_record(Height(height), record).unwrap();
    }
    store.put_epoch(&change(0)).unwrap();
    store.put_epoch(&change(1)).unwrap();
}

fn check(store: &dyn EpochStore) {
    let record = |height| store.committee_record(Height(height)).unwrap();
    assert_eq!([0, 6].map(record), [Some(b"genesis".to_vec()), Some(b"genesis".to_vec())]);
    assert_eq!([7, 299].map(record), [Some(b"at sev.".to_vec()), Some(b"at sev.".to_vec())]);
    assert_eq!([300, u64::MAX].map(record), [Some(b"at 300.".to_vec()), Some(b"at 300.".to_vec())]);
    assert_eq!([0, 1].map(|epoch| store.epoch(Epoch(epoch)).unwrap()), [Some(change(0)), Some(change(1))]);
    assert_eq!(store.epoch(Epoch(2)).unwrap(), None);
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
