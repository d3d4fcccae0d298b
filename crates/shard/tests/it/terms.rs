//! Terms on chains of version 2: what a boundary names, who refuses another one, and what holds in the next epoch.

use crate::chain::{N, validator_key};
use crate::forge;
use crate::net::Net;
use crate::steps::{epoch, governed, operate, remove, transition};
use rustorium_crypto::{block_digest, parameters_hash, set_hash, term_hash};
use rustorium_execution::{next_term, term_of};
use rustorium_shard::context::Context;
use rustorium_storage::{EpochStore, MemStore, Store};
use rustorium_types::*;

fn end(number: u64) -> Operation {
    Operation::EndEpoch { epoch: Epoch(number) }
}

fn term_change(net: &Net, number: u64) -> TermChange {
    let EpochTransition::Term(change) = transition(net, 0, number) else { panic!("the epoch has no term") };
    *change
}

fn genesis_context(net: &Net) -> Context {
    Context::new(&net.genesis, ShardId::ROOT, validator_key(0))
}

#[test]
fn each_boundary_names_the_next_term_and_changes_one_thing() {
    let mut net = Net::of(N, governed());
    operate(&mut net, 0, vec![end(0)]);
    operate(&mut net, 0, vec![remove(3), end(1)]);
    assert_eq!((0..3).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [2; 3]);
    let mut context = genesis_context(&net);
    for (number, change) in [(0, Change::None), (1, Change::Committee)] {
        let shown = term_change(&net, number);
        let next = context.names_next(shown.term.validators);
        assert_eq!((shown.boundary.next_validator_set, term_hash(&shown.term)), (next, next));
        assert_eq!((shown.term.change, shown.term.epoch, shown.term.version), (change, Epoch(number + 1), 2));
        assert_eq!(shown.boundary.parameters, context.hashes.parameters, "those of the epoch that ends");
        assert!(shown.parameters.is_none());
        let shown = EpochTransition::from(shown);
        assert_eq!(context.check_change(&shown), Ok(()));
        context = context.after(&shown);
        assert_eq!(set_hash(&context.validators), context.hashes.validator_set);
    }
    let tip = net.store(0).tip().unwrap();
    let again = Context::at(&net.genesis, None, &**net.store(0), &tip.header).unwrap();
    assert_eq!((again.term, again.hashes, again.n()), (context.term, context.hashes, 3));
}

/// Returns a shown end of a net's first epoch, as its quorum signs it after `edit`. No node of the net takes part.
fn signed(net: &Net, edit: impl FnOnce(&mut TermChange)) -> EpochTransition {
    let context = genesis_context(net);
    let mut boundary = forge::child(&context, &context.genesis_header, 1).header;
    boundary.end = End::Boundary;
    let term = next_term(&term_of(&boundary, &net.genesis.parameters), set_hash(&net.genesis.validators));
    let finalization = forge::certificate(forge::body(&context, VoteKind::Finalize, 1, BlockDigest::ZERO), &[]);
    let mut change = TermChange {
        boundary,
        proof: BlockProof { descendants: BoundedVec::default(), finalization },
        term,
        validators: net.genesis.validators.clone(),
        parameters: None,
    };
    change.boundary.next_validator_set = term_hash(&change.term);
    edit(&mut change);
    let body = forge::body(&context, VoteKind::Finalize, 1, block_digest(&change.boundary));
    change.proof.finalization = forge::certificate(body, &[0, 1, 2]);
    change.into()
}

fn names(change: &mut TermChange) {
    change.boundary.next_validator_set = term_hash(&change.term);
}

#[test]
fn a_shown_term_is_refused_unless_the_boundary_names_it_and_it_changes_what_it_says() {
    type Edit = fn(&mut TermChange);
    let net = Net::of(N, governed());
    let context = genesis_context(&net);
    assert_eq!(context.check_change(&signed(&net, |_| {})), Ok(()));
    let differs = "the term changes something else than it names";
    let edits: [(&str, Edit); 8] = [
        ("the next term is another", |c| c.term.epoch = Epoch(7)),
        ("the next term is another", |c| c.boundary.next_validator_set = c.term.validators),
        ("the next committee is another", |c| c.validators = BoundedVec::new(c.validators[..3].to_vec()).unwrap()),
        (differs, |c| {
            c.term.change = Change::Committee;
            names(c);
        }),
        // Parameters and operators at once.
        (differs, |c| {
            (c.term.parameters, c.term.operators) = (Hash([1; 32]), Hash([2; 32]));
            c.term.change = Change::Parameters;
            names(c);
        }),
        ("the new parameters are missing", |c| {
            (c.term.parameters, c.term.change) = (Hash([1; 32]), Change::Parameters);
            names(c);
        }),
        ("the boundary is not of this epoch", |c| c.boundary.parameters = Hash([1; 32])),
        ("the boundary is not of this epoch", |c| c.boundary.shard_map = Hash([1; 32])),
    ];
    for (why, edit) in edits {
        assert_eq!(context.check_change(&signed(&net, edit)), Err(why));
    }
    let EpochTransition::Term(shown) = signed(&net, |_| {}) else { panic!("it has a term") };
    let plain = EpochChange { boundary: shown.boundary, proof: shown.proof, next: shown.validators };
    let other = "the transition has the form of another protocol version";
    assert_eq!(context.check_change(&plain.into()), Err(other));
}

/// V12, V14: new parameters hold from the next epoch on, also after a restart in a later one.
#[test]
fn new_parameters_hold_in_the_next_epoch_and_after_a_restart() {
    let net = Net::of(N, governed());
    let new = Parameters { epoch_ms: 50_000_000, ..net.genesis.parameters.clone() };
    let shown = signed(&net, |c| {
        (c.term.parameters, c.term.change) = (parameters_hash(&new), Change::Parameters);
        c.parameters = BoundedBytes::new(encode(&new)).ok();
        names(c);
    });
    let context = genesis_context(&net);
    assert_eq!(context.check_change(&shown), Ok(()));
    let next = context.after(&shown);
    assert_eq!((&next.parameters, next.hashes.parameters), (&new, parameters_hash(&new)));
    assert_eq!((context.parameters_since, next.parameters_since), (Epoch(0), Epoch(1)));
    assert_eq!(shown.boundary().parameters, context.hashes.parameters);
    // The epoch after ends without a change, so its end has no parameters.
    let mut boundary = forge::child(&next, shown.boundary(), 2).header;
    (boundary.epoch, boundary.end) = (Epoch(1), End::Boundary);
    let term = next_term(&next.term, next.term.validators);
    boundary.next_validator_set = term_hash(&term);
    let later = TermChange {
        boundary: boundary.clone(),
        proof: shown.proof().clone(),
        term,
        validators: net.genesis.validators.clone(),
        parameters: None,
    };
    let store = MemStore::new();
    store.put_epoch(&shown).unwrap();
    store.put_epoch(&later.into()).unwrap();
    let again = Context::at(&net.genesis, None, &store, &boundary).unwrap();
    assert_eq!((again.parameters, again.hashes.parameters), (new, next.hashes.parameters));
    assert_eq!((again.term.epoch, again.parameters_since), (Epoch(2), Epoch(1)));
}
