//! Closing blocks without end: a boundary whose votes are lost again and again, and the proof of it all the same.

use crate::chain::{context, genesis, validator_key};
use crate::epochs::{change, epoch, goes_on, net, operate, settle};
use crate::forge;
use crate::net::Net;
use rustorium_crypto::block_digest;
use rustorium_dataplane::block_proofs::block_proof;
use rustorium_dataplane::context::Context;
use rustorium_dataplane::rules::check_header;
use rustorium_storage::Store;
use rustorium_types::limits::PROOF_HEADERS_MAX;
use rustorium_types::*;
use std::cell::Cell;
use std::rc::Rc;

/// Nobody hears who votes to finalize the boundary, or one of so many closing blocks above it but the last.
pub fn lose_finality_of_the_end(net: &mut Net, closing: u64) {
    let boundary = Rc::new(Cell::new(None::<View>));
    let lost = move |message: &Message| {
        if let Message::Proposal(proposal) = message
            && proposal.header.ends_epoch()
        {
            boundary.set(boundary.get().or(Some(proposal.header.view)));
        }
        let lost = |body: &VoteBody| {
            let above = boundary.get().and_then(|boundary| body.view.0.checked_sub(boundary.0));
            body.kind == VoteKind::Finalize && above.is_some_and(|above| above < closing)
        };
        match message {
            Message::Vote(vote) => lost(&vote.vote.body),
            Message::Certificate(certificate) => lost(&certificate.body),
            Message::Heartbeat(heartbeat) => heartbeat.votes.iter().any(|vote| lost(&vote.body)),
            _ => false,
        }
    };
    net.passes = Box::new(move |_, _, message| !lost(message));
}

#[test]
fn an_end_that_took_more_closing_blocks_than_a_proof_has_room_for_is_shown_by_one() {
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
    assert_eq!(Context::new(&net.genesis, validator_key(1)).check_change(&end), Ok(()));
    for height in 1..=end.boundary.height.0 {
        let header = net.store(0).bare_block(Height(height)).unwrap().unwrap().header;
        let proof = block_proof(&**net.store(0), Height(height)).unwrap().expect("it is final");
        assert_eq!(rustorium_execution::verify_block(&net.genesis, &header, &proof), Ok(()), "height {height}");
    }
    goes_on(&mut net, 4);
    // One that comes with nothing learns it from its peers.
    net.wipe(3);
    for _ in 0..6 {
        settle(&mut net);
    }
    assert_eq!((epoch(&net, 3), net.height(3)), (1, net.height(0)));
}

#[test]
fn a_closing_block_names_the_boundary_and_nothing_else_does() {
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
