//! Closing blocks without end: the votes of a boundary are lost again and again, and its end can be proved all the
//! same.

use crate::chain::{context, genesis, validator_key};
use crate::forge;
use crate::steps::{change, epoch, goes_on, lose_finality_of_the_end, net, operate, settle};
use rustorium_crypto::block_digest;
use rustorium_shard::context::Context;
use rustorium_shard::rules::check_header;
use rustorium_stages::block_proofs::block_proof;
use rustorium_storage::Store;
use rustorium_types::limits::PROOF_HEADERS_MAX;
use rustorium_types::*;

#[test]
fn an_end_with_too_many_closing_blocks_for_a_proof_is_proved_with_one() {
    let mut net = net(4);
    goes_on(&mut net, 4);
    let many = PROOF_HEADERS_MAX as u64 + 50;
    lose_finality_of_the_end(&mut net, many);
    operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    net.passes = Box::new(|_, _, _| true);
    assert_eq!((0..4).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 4]);
    let end = change(&net, 0, 0);
    assert!(end.proof.finalization.body.view.0 >= end.boundary.view.0 + many);
    assert_eq!(end.proof.descendants.len(), 1, "whoever checks it needs the last closing header alone");
    assert_eq!(Context::new(&net.genesis, ShardId::ROOT, validator_key(1)).check_change(&end.clone().into()), Ok(()));
    for height in 1..=end.boundary.height.0 {
        let header = net.store(0).bare_block(Height(height)).unwrap().unwrap().header;
        let proof = block_proof(&**net.store(0), Height(height)).unwrap().expect("it is final");
        assert_eq!(rustorium_execution::verify_block(&net.genesis, &header, &proof), Ok(()), "height {height}");
    }
    goes_on(&mut net, 4);
    // A node with an empty store learns of the end from its peers.
    net.wipe(3);
    for _ in 0..6 {
        settle(&mut net);
    }
    assert_eq!((epoch(&net, 3), net.height(3)), (1, net.height(0)));
}

#[test]
fn only_a_closing_block_names_the_boundary() {
    let (genesis, other) = (genesis(), BlockDigest([9; 32]));
    let context = context(&genesis, 1);
    let child = |parent: &Header, end| {
        let mut block = forge::child(&context, parent, parent.view.0 + 1);
        (block.header.end, block.header.result) = (end, parent.result);
        block
    };
    let check = |parent: &Header, block: &Block| check_header(parent, block, &genesis.parameters);
    let boundary = child(&context.genesis_header, End::Boundary).header;
    let name = block_digest(&boundary);
    let first = child(&boundary, End::Closing(name));
    let second = child(&first.header, End::Closing(name));
    assert_eq!((check(&boundary, &first), check(&first.header, &second)), (Ok(()), Ok(())));
    for end in [End::GoesOn, End::Boundary, End::Closing(other), End::Closing(block_digest(&first.header))] {
        assert!(check(&boundary, &child(&boundary, end)).is_err(), "{end:?} above a boundary");
        assert!(check(&first.header, &child(&first.header, end)).is_err(), "{end:?} above a closing block");
    }
    let early = child(&context.genesis_header, End::Closing(block_digest(&context.genesis_header)));
    assert!(check(&context.genesis_header, &early).is_err(), "the epoch goes on");
}
