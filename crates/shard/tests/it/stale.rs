//! R26 and R27: a node whose journal is not the newest finds that out before it signs, and then signs no more. In each
//! of these tests the ports' witness asserts that no node contradicts itself, whatever it lost.

use crate::chain::{self, N, account_of_lane, v, validator_key};
use crate::forge;
use crate::net::Net;
use crate::ports::TestPorts;
use rustorium_crypto::batch_digest;
use rustorium_shard::Event;
use rustorium_shard::port::{Effect, Input};
use rustorium_storage::{RecordKind, Store};
use rustorium_types::{
    BatchDigest, BlockDigest, Cursor, Epoch, Height, Message, Request, Response, SignedVote, View, VoteKind, encode,
};

/// Returns the messages of node `from` with a signature that it made only now.
fn signed(net: &Net, from: usize, since: usize) -> usize {
    let signs = |message: &Message| match message {
        Message::Vote(_) | Message::Proposal(_) => true,
        Message::Batch(batch) => batch.body.author == v(from),
        Message::Heartbeat(heartbeat) => !heartbeat.votes.is_empty(),
        _ => false,
    };
    net.log[since..].iter().filter(|(sender, _, message)| *sender == from && signs(message)).count()
}

/// All nodes submit, and all transactions become final.
fn busy(net: &mut Net, rounds: usize) {
    for _ in 0..rounds {
        (0..N)
            .filter(|index| net.nodes[*index].up)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|index| _ = net.submit(index));
        net.advance(40_000);
    }
    net.advance(200_000);
}

fn retired(net: &mut Net, index: usize) -> Option<String> {
    net.ports(index).retired.clone()
}

/// Checks that the node follows the others and has signed nothing since.
fn follows(net: &mut Net, index: usize, since: usize) {
    for _ in 0..6 {
        net.heartbeats();
        net.advance(400_000);
    }
    assert_eq!(net.height(index), net.height((index + 1) % N));
    assert_eq!(signed(net, index, since), 0);
    assert_eq!(net.saw(index, |input| *input == Input::KeyRetired), 1);
}

#[test]
fn a_node_that_lost_everything_signs_nothing_and_follows() {
    let mut net = Net::new();
    busy(&mut net, 3);
    let (since, height) = (net.log.len(), net.height(0));
    assert!(height >= 3);
    net.wipe(1);
    net.nullify();
    follows(&mut net, 1, since);
    assert!(retired(&mut net, 1).is_some());
    // The node's clients are served: other validators list their transactions.
    let ids = [net.submit(1), net.submit(2)];
    net.advance(100_000);
    net.nullify();
    follows(&mut net, 1, since);
    for _ in 0..3 {
        net.nullify();
        net.advance(400_000);
    }
    assert!((0..N).all(|index| ids.iter().all(|id| net.is_final(index, id))));
    assert_eq!(signed(&net, 1, since), 0);
}

/// Makes a nullify vote of node 0 that leads to no certificate.
fn with_a_nullify_heard_by_node_3_alone() -> Net {
    let mut net = Net::new();
    net.nobody_proposes();
    net.passes = Box::new(|from, to, message| !matches!(message, Message::Vote(_)) || (from, to) == (0, 3));
    let effects = net.nodes[0].core.nullify();
    net.effects(0, effects);
    net.run();
    net
}

#[test]
fn an_open_vote_that_only_a_peer_remembers_is_enough() {
    let mut net = with_a_nullify_heard_by_node_3_alone();
    net.passes = Box::new(|_, _, _| true);
    let since = net.log.len();
    net.wipe(0);
    net.run();
    assert_eq!(retired(&mut net, 0).as_deref(), Some("the nullify vote of view 1"));
    let finalize =
        Effect::Vote { kind: VoteKind::Finalize, view: View(1), digest: Some(BlockDigest([1; 32])), carry: None };
    net.effects(0, vec![finalize]);
    net.run();
    assert_eq!(signed(&net, 0, since), 0);
}

#[test]
fn a_key_that_another_shard_found_retired_signs_nothing_more() {
    let mut net = Net::new();
    busy(&mut net, 3);
    for _ in 0..2 {
        net.ports(1).events.push_back(Event::KeyRetired);
    }
    net.run();
    let since = net.log.len();
    let ids = [net.submit(1), net.submit(2)];
    net.advance(100_000);
    for _ in 0..4 {
        net.nullify();
        net.advance(400_000);
    }
    follows(&mut net, 1, since);
    assert!((0..N).all(|index| ids.iter().all(|id| net.is_final(index, id))));
    assert_eq!(retired(&mut net, 1), None, "the other shard has marked it");
}

#[test]
fn a_node_waits_for_one_answer_more_than_a_quorum_if_it_comes() {
    let mut net = with_a_nullify_heard_by_node_3_alone();
    let since = net.log.len();
    // Nodes 1 and 2 are a quorum with node 0, and know nothing; node 3's first answer is lost.
    net.passes = Box::new(|from, to, message| (from, to) != (3, 0) || !matches!(message, Message::Response { .. }));
    net.wipe(0);
    net.advance(200_000);
    let effects = net.nodes[0].core.nullify();
    net.effects(0, effects);
    net.run();
    assert_eq!((retired(&mut net, 0), signed(&net, 0, since)), (None, 0));
    net.passes = Box::new(|_, _, _| true);
    net.advance(99_000);
    assert_eq!(retired(&mut net, 0), None);
    net.advance(2_000);
    assert_eq!(retired(&mut net, 0).as_deref(), Some("the nullify vote of view 1"));
    assert_eq!(signed(&net, 0, since), 0);
}

#[test]
fn a_batch_that_only_a_peer_remembers_is_enough() {
    let mut net = Net::new();
    net.nobody_proposes();
    net.submit(2);
    net.run();
    net.wipe(2);
    net.run();
    assert_eq!(retired(&mut net, 2).as_deref(), Some("batch 0 of its lane"));
    let since = net.log.len();
    net.submit(2);
    net.advance(100_000);
    assert_eq!(signed(&net, 2, since), 0);
}

/// Returns a chain on which nobody counts the votes of node `index`. Then that node is wiped, and its core nullifies
/// view 1 at once.
fn wiped_unheard(index: usize, submits: &[usize]) -> (Net, usize) {
    let mut net = Net::new();
    net.passes = Box::new(move |from, _, message| from != index || !matches!(message, Message::Vote(_)));
    for submit in submits {
        net.submit(*submit);
        net.advance(40_000);
    }
    let since = net.log.len();
    net.wipe(index);
    let enter = Effect::EnterView {
        view: View(1),
        because: None,
        leads: false,
        epoch: Epoch(0),
        backoff: 0,
        passed_over: Vec::new(),
    };
    let vote = Effect::Vote { kind: VoteKind::Nullify, view: View(1), digest: None, carry: None };
    net.effects(index, vec![enter, vote]);
    net.advance(900_000);
    (net, since)
}

#[test]
fn an_own_block_deep_in_the_chain_is_found_before_anything_is_signed() {
    let (mut net, since) = wiped_unheard(1, &[3, 3, 3]);
    assert_eq!(retired(&mut net, 1).as_deref(), Some("the block of view 1"));
    assert_eq!((signed(&net, 1, since), net.height(1)), (0, net.height(0)));
}

#[test]
fn an_own_batch_deep_in_the_chain_is_found_before_anything_is_signed() {
    let (mut net, since) = wiped_unheard(3, &[3, 0]);
    assert_eq!(retired(&mut net, 3).as_deref(), Some("batch 0 of its lane"));
    assert_eq!((signed(&net, 3, since), net.height(3)), (0, net.height(0)));
}

#[test]
fn nothing_is_signed_before_a_quorum_has_answered() {
    let mut net = Net::new();
    net.stop(2);
    busy(&mut net, 2);
    // The node never voted: it starts now, and hears one peer only.
    net.passes = Box::new(|from, to, _| (from, to) != (0, 2) && (from, to) != (3, 2));
    let since = net.log.len();
    net.wipe(2);
    net.ports(2).may_retire = false;
    net.submit(2);
    net.advance(900_000);
    net.nullify();
    net.advance(900_000);
    assert_eq!(signed(&net, 2, since), 0, "one answer is none");
    assert!(net.ports(2).journal.iter().all(|record| record.kind != RecordKind::Vote), "not even for later");
    net.passes = Box::new(|_, _, _| true);
    net.advance(900_000);
    assert!(signed(&net, 2, since) > 0, "what waited is signed now");
    assert_eq!(retired(&mut net, 2), None);
}

#[test]
fn a_late_first_start_takes_part() {
    let mut net = Net::new();
    net.stop(3);
    busy(&mut net, 4);
    net.wipe(3);
    net.ports(3).may_retire = false;
    follows_and_votes(&mut net, 3);
    // With another node down, the others need its vote.
    net.stop(1);
    busy(&mut net, 1);
    for _ in 0..6 {
        net.nullify();
        net.advance(400_000);
    }
    let id = net.submit(3);
    for _ in 0..6 {
        net.advance(400_000);
        net.nullify();
    }
    assert!([0, 2, 3].into_iter().all(|index| net.is_final(index, &id)));
}

fn follows_and_votes(net: &mut Net, index: usize) {
    for _ in 0..4 {
        net.heartbeats();
        net.advance(400_000);
    }
    assert_eq!(net.height(index), net.height(0));
    let since = net.log.len();
    busy(net, 2);
    assert!(signed(net, index, since) > 0);
    assert_eq!(retired(net, index), None);
}

#[test]
fn a_copy_of_an_older_home_is_found_out() {
    let mut net = Net::new();
    busy(&mut net, 2);
    net.stop(1);
    let copy = |ports: &TestPorts| (ports.journal.clone(), ports.next, ports.synced, ports.durable.clone());
    let (journal, next, synced, durable) = copy(net.ports(1));
    net.power_loss(1, 0);
    busy(&mut net, 3);
    let ahead = net.height(0);
    net.stop(1);
    let ports = net.ports(1);
    (ports.journal, ports.next, ports.synced, ports.durable) = (journal, next, synced, durable);
    ports.may_retire = true;
    let since = net.log.len();
    net.power_loss(1, 0);
    assert!(net.height(1) < ahead);
    net.nullify();
    for _ in 0..4 {
        net.heartbeats();
        net.advance(400_000);
    }
    assert!(retired(&mut net, 1).is_some());
    let fresh = |message: &Message| match message {
        Message::Vote(vote) => vote.vote.body.view > durable_view(&net, ahead),
        Message::Batch(batch) => batch.body.author == v(1),
        _ => false,
    };
    assert!(!net.log[since..].iter().any(|(from, _, message)| *from == 1 && fresh(message)));
}

fn durable_view(net: &Net, height: u64) -> View {
    net.store(0).bare_block(Height(height)).unwrap().unwrap().header.view
}

#[test]
fn a_key_that_votes_elsewhere_is_found_out_while_running() {
    let mut net = Net::new();
    busy(&mut net, 1);
    net.traitor(3);
    let view = net.nodes[0].core.view.0;
    let context = chain::context(&net.genesis, 0);
    let body = forge::body(&context, VoteKind::Nullify, view, BlockDigest::ZERO);
    let certificate = |signers: &[usize]| Message::Certificate(Box::new(forge::certificate(body, signers)));
    // The first loss is known by now. The second one is checked all the same.
    net.inject(0, 3, certificate(&[0, 1, 2]));
    net.run();
    assert_eq!(retired(&mut net, 3), None);
    net.inject(0, 3, certificate(&[0, 1, 3]));
    net.run();
    assert_eq!(retired(&mut net, 3), Some(format!("the nullify vote of view {view}")));
}

#[test]
fn messages_that_wait_for_the_disk_when_the_key_retires_never_leave() {
    let mut net = Net::new();
    busy(&mut net, 1);
    net.nodes[3].disk_held = true;
    net.traitor(3);
    let since = net.log.len();
    net.submit(3);
    net.nullify();
    assert!(net.ports(3).wanted > net.ports(3).synced, "something waits");
    let view = net.nodes[0].core.view.0 + 5;
    let context = chain::context(&net.genesis, 0);
    let body = forge::body(&context, VoteKind::Nullify, view, BlockDigest::ZERO);
    net.inject(0, 3, Message::Certificate(Box::new(forge::certificate(body, &[0, 1, 3]))));
    net.run();
    net.nodes[3].disk_held = false;
    net.advance(100_000);
    assert_eq!(signed(&net, 3, since), 0);
}

/// R2: the core may have cast the vote that was to carry the certificate before it learned of the retirement.
#[test]
fn a_retired_key_signs_nothing_and_the_certificate_of_its_vote_is_sent_on() {
    let mut net = Net::new();
    busy(&mut net, 1);
    net.wipe(1);
    net.advance(900_000);
    assert!(retired(&mut net, 1).is_some());
    net.nobody_proposes();
    let (since, view) = (net.log.len(), net.nodes[1].core.view);
    let context = chain::context(&net.genesis, 0);
    let body = forge::body(&context, VoteKind::Notarize, view.0, BlockDigest([4; 32]));
    (0..N).for_each(|index| net.traitor(index));
    let notarization = Message::Certificate(Box::new(forge::certificate(body, &[0, 2, 3])));
    net.inject(0, 1, notarization.clone());
    net.run();
    let sent = net.log[since..].iter().filter(|(from, to, message)| (*from, *to) == (1, 2) && *message == notarization);
    assert_eq!((sent.count(), signed(&net, 1, since)), (1, 0));
}

#[test]
fn only_this_nodes_own_signatures_count() {
    let mut net = Net::new();
    busy(&mut net, 1);
    let context = chain::context(&net.genesis, 0);
    let body = forge::body(&context, VoteKind::Nullify, 90, BlockDigest::ZERO);
    let mut forged = forge::certificate(body, &[0, 1, 2, 3]).signatures.into_vec();
    forged[3].1[7] ^= 1;
    let certificate =
        rustorium_types::Certificate { body, signatures: rustorium_types::BoundedVec::new(forged).unwrap() };
    net.inject(0, 3, Message::Certificate(Box::new(certificate)));
    // A liar's proposal may claim anything about another member's lane.
    let tip = net.store(0).tip().unwrap();
    let view = (net.nodes[3].core.view.0..).find(|view| view % N as u64 == 1).unwrap();
    let mut block = forge::child(&context, &tip.header, view);
    let mut cursors = block.header.cursors.clone().into_vec();
    cursors[3] = Cursor { next_seq: cursors[3].next_seq + 4, tip: BatchDigest([9; 32]) };
    block.header.cursors = rustorium_types::BoundedVec::new(cursors).unwrap();
    net.inject(1, 3, forge::proposal(&context, &block));
    net.run();
    // An answer may contain anything, too.
    net.passes = Box::new(|_, to, message| to != 3 || !matches!(message, Message::Response { .. }));
    net.power_loss(3, 0);
    net.run();
    let vote = |signer: usize, key: usize| SignedVote {
        signer: v(signer),
        ..validator_key(key).sign_vote(v(signer), forge::body(&context, VoteKind::Nullify, 91, BlockDigest::ZERO))
    };
    let of_another = forge::batch(&net.genesis, 2, 99, BatchDigest::ZERO, &[]);
    let mut forged = forge::batch(&net.genesis, 3, 99, BatchDigest::ZERO, &[]);
    forged.signature[3] ^= 1;
    for (from, batch) in [(0, of_another), (1, forged)] {
        let votes = rustorium_types::BoundedVec::new(vec![vote(0, 0), vote(3, 0), vote(2, 3)]).unwrap();
        let response = Response::OwnSignatures {
            epoch: rustorium_types::Epoch(0),
            finalization: None,
            votes,
            batch: Some(Box::new(batch)),
        };
        net.inject(from, 3, Message::Response { id: u64::MAX, response });
        net.run();
    }
    assert_eq!(retired(&mut net, 3), None, "the ports would have refused it, too");
}

#[test]
fn a_lost_store_alone_retires_no_key_and_the_lane_continues() {
    let mut net = Net::new();
    busy(&mut net, 3);
    net.sync_store(1);
    net.run();
    let listed = net.store(1).tip().unwrap().header.cursors[1];
    assert!(listed.next_seq >= 3);
    // All releasable records are gone, and so is the whole store.
    net.ports(1).journal.retain(|record| record.kind == RecordKind::Floor);
    net.lose_store(1);
    let id = net.submit(1);
    net.advance(100_000);
    for _ in 0..4 {
        net.heartbeats();
        net.advance(400_000);
    }
    assert!((0..N).all(|index| net.is_final(index, &id)));
    let cut = net.between(1, 0).filter_map(|message| match message {
        Message::Batch(batch) if batch.body.author == v(1) => Some(batch.body.seq),
        _ => None,
    });
    assert_eq!(cut.last(), Some(listed.next_seq), "no seq twice");
}

/// Otherwise the journal would free votes above its floor, and a store lost later would pass for a lost journal.
#[test]
fn after_a_restart_the_floor_is_at_the_tip_before_a_record_is_released() {
    let mut net = Net::new();
    busy(&mut net, 2);
    let tip = net.store(2).tip().unwrap().header;
    net.ports(2).durable = tip.clone();
    net.power_loss(2, 0);
    net.run();
    assert_eq!(net.height(2), tip.height.0);
    net.sync_store(2);
    net.run();
    let floor = encode(&(tip.epoch, tip.view, tip.cursors[2]));
    let floors =
        net.ports(2).journal.iter().filter(|record| record.kind == RecordKind::Floor && record.payload == floor);
    assert_eq!(floors.count(), 1);
}

#[test]
fn a_retired_key_stays_so_across_restarts() {
    let mut net = Net::new();
    busy(&mut net, 1);
    net.wipe(1);
    net.advance(900_000);
    assert!(retired(&mut net, 1).is_some());
    busy(&mut net, 1);
    let since = net.log.len();
    net.power_loss(1, 0);
    net.run();
    assert!(matches!(net.ports(1).turns[0][..], [Input::Recovered { .. }, Input::KeyRetired, ..]));
    net.submit(1);
    net.nullify();
    follows(&mut net, 1, since);
    let asked = |message: &Message| matches!(message, Message::Request { request: Request::OwnSignatures { .. }, .. });
    let of_its_own = net.log[since..].iter().filter(|(from, ..)| *from == 1).map(|(_, _, message)| message);
    assert!(!of_its_own.clone().any(asked), "there is nothing to ask");
    assert!(!of_its_own.clone().any(|message| matches!(message, Message::Heartbeat(_))), "peers pass its views over");
}

#[test]
fn the_newest_batch_is_told_only_to_those_that_lack_it() {
    let mut net = Net::new();
    net.nobody_proposes();
    let account = account_of_lane(2);
    net.submit_of(2, account);
    net.run();
    net.submit_of(2, account);
    net.advance(40_000);
    for (next_seq, told) in [(0, Some(1)), (1, Some(1)), (2, None), (u64::MAX, None)] {
        let since = net.log.len();
        net.inject(2, 0, Message::Request { id: 3, request: Request::OwnSignatures { next_seq } });
        net.run();
        let answer = net.log[since..].iter().find_map(|(_, _, message)| match message {
            Message::Response { id: 3, response: Response::OwnSignatures { batch, .. } } => Some(batch.clone()),
            _ => None,
        });
        let batch = answer.expect("an answer");
        assert_eq!(batch.as_ref().map(|batch| batch.body.seq), told);
        assert!(batch.is_none_or(|batch| net.store(0).batch(&batch_digest(&batch.body)).unwrap().is_none()));
    }
}
