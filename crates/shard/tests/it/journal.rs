//! The records that pin the journal, and those that don't: batches that no block lists, lanes that are never used
//! again, own lanes.

use crate::chain::{N, put};
use crate::forge;
use crate::net::Net;
use crate::ports::from;
use rustorium_storage::{RecordKind, Store};
use rustorium_types::*;

/// Makes heights at intervals; every node stores them on disk.
fn heights(net: &mut Net, count: usize) {
    for height in 0..count {
        let before = net.height(0);
        net.submit(height % 3);
        net.advance(50_000);
        if net.height(0) == before {
            // Passes the view of a leader that isn't heard.
            net.nullify();
            net.advance(10_000);
        }
        for index in (0..N).filter(|index| net.nodes[*index].up).collect::<Vec<_>>() {
            net.sync_store(index);
        }
        net.run();
    }
}

fn records(net: &mut Net) -> Vec<usize> {
    (0..N).map(|index| net.ports(index).journal.len()).collect()
}

fn batches(net: &mut Net, index: usize, author: u16) -> usize {
    let journal = &net.ports(index).journal;
    let batches = journal.iter().filter(|record| record.kind == RecordKind::Batch);
    batches.filter(|record| from::<Batch>(&record.payload).body.author.0 == author).count()
}

fn unlistable(net: &Net, seq: u64) -> Message {
    let transaction = put(&net.genesis, 0, 0).into_inner();
    Message::Batch(Box::new(forge::batch(&net.genesis, 3, seq, BatchDigest([1; 32]), &[transaction])))
}

/// C5: a lane that is never used again, with one batch behind a gap.
#[test]
fn one_unlistable_batch_does_not_pin_the_journal() {
    let mut calm = Net::new();
    heights(&mut calm, 100);
    let expected = records(&mut calm);
    assert!(expected.iter().all(|count| *count < 60), "{expected:?} records in the calm");
    let mut net = Net::new();
    net.traitor(3);
    for index in 0..3 {
        let message = unlistable(&net, 40);
        net.inject(3, index, message);
    }
    heights(&mut net, 100);
    let found = records(&mut net);
    assert!((0..3).all(|index| found[index] <= expected[index] + 4), "{found:?} records, {expected:?} in the calm");
    assert!((0..3).all(|index| batches(&mut net, index, 3) == 0), "no block could list it");
}

/// The same without a liar: a validator dies after its peers got batch s + 1, and nobody got batch s.
#[test]
fn a_batch_whose_predecessor_died_with_its_author_does_not_pin_the_journal() {
    let mut net = Net::new();
    net.passes =
        Box::new(|from, _, message| from != 3 || !matches!(message, Message::Batch(batch) if batch.body.seq == 0));
    net.nodes[3].core.proposes = false;
    net.submit(3);
    net.run();
    net.submit(3);
    net.advance(30_000);
    assert!(net.between(3, 0).any(|m| matches!(m, Message::Batch(batch) if batch.body.seq == 1)));
    net.stop(3);
    net.passes = Box::new(|_, _, _| true);
    heights(&mut net, 100);
    assert!(net.height(0) >= 50, "{}", net.height(0));
    let found = records(&mut net);
    assert!((0..3).all(|index| found[index] < 60), "{found:?}");
}

/// A batch behind a gap is in memory for ten seconds, and no longer.
#[test]
fn a_batch_behind_a_gap_is_dropped_after_ten_seconds() {
    let mut net = Net::new();
    net.traitor(3);
    let message = unlistable(&net, 40);
    let Message::Batch(batch) = &message else { unreachable!() };
    let digest = rustorium_crypto::batch_digest(&batch.body);
    net.inject(3, 0, message);
    net.run();
    let served = |net: &mut Net| {
        let before = net.log.len();
        let request = Request::Batch { lane: ValidatorIndex(3), digest };
        net.inject(1, 0, Message::Request { id: 77, request });
        net.run();
        let mut answers = net.log[before..].iter().filter_map(|(_, _, message)| match message {
            Message::Response { id: 77, response } => Some(response.clone()),
            _ => None,
        });
        matches!(answers.next_back(), Some(Response::Batch(_)))
    };
    assert!(served(&mut net));
    net.advance(9_900_000);
    assert!(served(&mut net));
    net.advance(200_000);
    assert!(!served(&mut net));
}

/// R36: the own lane is needed for as long as it isn't listed; it is copied forward while the chain goes on without it.
#[test]
fn an_own_batch_that_nobody_lists_is_copied_forward_and_found_by_a_restart() {
    let mut net = Net::tight();
    // No node hears node 3, which hears all.
    net.passes = Box::new(|from, _, _| from != 3);
    net.submit(3);
    net.run();
    heights(&mut net, 100);
    assert!(net.height(3) >= 50, "{}", net.height(3));
    let own = |net: &mut Net| batches(net, 3, 3);
    assert!(own(&mut net) >= 1);
    let first = net.ports(3).journal.first().unwrap().lsn.0;
    let (length, newest) = (net.ports(3).journal.len() as u64, net.ports(3).next);
    assert!(length < 200 && first + 400 > newest, "{length} records from {first} on, of {newest}");
    for kept_beyond in [0, 1, 3] {
        net.power_loss(3, kept_beyond);
        heights(&mut net, 10);
        assert!(own(&mut net) >= 1);
    }
    net.passes = Box::new(|_, _, _| true);
    net.heartbeats();
    heights(&mut net, 10);
    for _ in 0..10 {
        net.nullify();
        net.advance(400_000);
    }
    assert!((0..N).all(|index| net.store(index).tip().unwrap().header.cursors[3].next_seq == 1));
}
