//! Headers on headers, and certificates of the test chain's validators.

use super::chain::validator_key;
use rustorium_crypto::block_digest;
use rustorium_types::*;

pub fn finalize(header: &Header, signers: &[u8]) -> Certificate {
    let body = VoteBody {
        chain: header.chain,
        shard: header.shard,
        epoch: header.epoch,
        view: header.view,
        kind: VoteKind::Finalize,
        block: block_digest(header),
    };
    certificate(body, signers)
}

pub fn certificate(body: VoteBody, signers: &[u8]) -> Certificate {
    let sign = |i: &u8| {
        let vote = validator_key(*i).sign_vote(ValidatorIndex(u16::from(*i)), body);
        (vote.signer, vote.signature)
    };
    Certificate { body, signatures: BoundedVec::new(signers.iter().map(sign).collect()).unwrap() }
}

pub fn child(parent: &Header, result: ResultClaim) -> Header {
    Header {
        parent: block_digest(parent),
        parent_view: parent.view,
        view: View(parent.view.0 + 2),
        height: parent.height.next(),
        time_ms: parent.time_ms + 5,
        result,
        ..parent.clone()
    }
}

pub fn edit<T: Clone, const MAX: usize>(list: &mut BoundedVec<T, MAX>, change: impl FnOnce(&mut Vec<T>)) {
    let mut values = list.as_slice().to_vec();
    change(&mut values);
    *list = BoundedVec::new(values).unwrap();
}
