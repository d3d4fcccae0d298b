//! R37 to R39: irrelevant messages aren't checked, and a member whose key signs false data is ignored for a while.

use crate::chain::{N, context, v};
use crate::forge;
use crate::net::Net;
use rustorium_shard::port::{Effect, Input};
use rustorium_types::{
    BlockDigest, BoundedVec, Certificate, Hash, Heartbeat, Held, Message, Report, SignedVote, View, VoteKind,
    VoteMessage,
};

/// In these tests the third node is a liar; node 1 leads view 1.
const LIAR: usize = 3;

fn false_certificate(net: &Net, view: u64) -> Certificate {
    let context = context(&net.genesis, LIAR);
    let body = forge::body(&context, VoteKind::Notarize, view, BlockDigest([view as u8; 32]));
    let mut certificate = forge::certificate(body, &[1, 2, 3]);
    let mut signatures = certificate.signatures.clone().into_vec();
    signatures[0].1[7] ^= 1;
    certificate.signatures = BoundedVec::new(signatures).unwrap();
    certificate
}

fn false_vote(net: &Net, view: u64) -> SignedVote {
    let context = context(&net.genesis, LIAR);
    let body = forge::body(&context, VoteKind::Nullify, view, BlockDigest::ZERO);
    let mut vote = crate::chain::validator_key(LIAR).sign_vote(v(LIAR), body);
    vote.signature[7] ^= 1;
    vote
}

fn alive(net: &mut Net) {
    let heartbeat = Heartbeat {
        epoch: rustorium_types::Epoch(0),
        finalization: None,
        entered_by: None,
        votes: BoundedVec::default(),
        report: Report::default(),
        held: BoundedVec::default(),
    };
    net.inject(LIAR, 0, Message::Heartbeat(Box::new(heartbeat)));
    net.run();
}

fn silences(net: &Net, silent: bool) -> usize {
    net.saw(0, |input| *input == Input::PeerSilence(v(LIAR), silent))
}

/// Lets `ms` pass; all nodes send heartbeats, and the liar's are injected.
fn go_on(net: &mut Net, ms: u64) {
    for _ in 0..ms / 500 {
        net.advance(500_000);
        net.heartbeats();
        alive(net);
    }
}

#[test]
fn a_member_that_sends_false_certificates_is_cut_off_for_half_a_minute() {
    let mut net = Net::new();
    net.passes = Box::new(|from, _, _| from != LIAR);
    for view in 1..=3 {
        let certificate = false_certificate(&net, view);
        net.inject(LIAR, 0, Message::Certificate(Box::new(certificate)));
        net.run();
    }
    assert_eq!(net.ports(0).dropped, [v(LIAR)], "what was read of it and isn't checked yet");
    go_on(&mut net, 3_000);
    assert_eq!(silences(&net, true), 1, "its frames aren't read, so it counts as silent");
    go_on(&mut net, 26_000);
    assert_eq!(silences(&net, false), 0);
    go_on(&mut net, 3_000);
    assert_eq!(silences(&net, false), 1, "and then it is listened to again");
}

#[test]
fn a_member_that_sends_false_votes_is_cut_off() {
    let mut net = Net::new();
    net.passes = Box::new(|from, _, _| from != LIAR);
    for view in 1..=3 {
        // A false vote is checked when a threshold needs it, or when a second one comes.
        for byte in [1, 2] {
            let mut vote = false_vote(&net, view);
            vote.signature[20] ^= byte;
            let (report, held) = (Report::default(), Held::Whole(BoundedVec::default()));
            net.inject(LIAR, 0, Message::Vote(Box::new(VoteMessage { vote, report, held, carry: None })));
            net.run();
        }
    }
    go_on(&mut net, 3_000);
    assert_eq!(silences(&net, true), 1);
}

#[test]
fn faults_without_a_false_signature_are_charged_to_nobody() {
    let mut net = Net::new();
    net.passes = Box::new(|from, _, _| from != LIAR);
    let context = context(&net.genesis, LIAR);
    for view in 1..=20 {
        let block = BlockDigest([view as u8; 32]);
        let body = forge::body(&context, VoteKind::Notarize, view, block);
        let mut foreign = body;
        foreign.epoch = rustorium_types::Epoch(9);
        for certificate in [
            forge::certificate(body, &[1]),
            forge::certificate(body, &[2, 1, 3]),
            forge::certificate(foreign, &[1, 2, 3]),
            forge::certificate(forge::body(&context, VoteKind::Nullify, view, block), &[1, 2, 3]),
        ] {
            net.inject(LIAR, 0, Message::Certificate(Box::new(certificate)));
        }
        net.run();
    }
    go_on(&mut net, 3_000);
    assert_eq!(silences(&net, true), 0);
}

#[test]
fn a_member_that_forwards_anothers_false_signature_is_charged_and_the_other_is_not() {
    let mut net = Net::new();
    net.passes = Box::new(|from, _, _| from != LIAR);
    for view in 1..=4 {
        let certificate = false_certificate(&net, view);
        net.inject(LIAR, 0, Message::Certificate(Box::new(certificate)));
        net.run();
    }
    go_on(&mut net, 3_000);
    let of = |peer: usize| net.saw(0, |input| *input == Input::PeerSilence(v(peer), true));
    assert_eq!([1, 2, LIAR].map(of), [0, 0, 1]);
}

/// R37: a useless proposal would make the node request its payload and check its certificates.
#[test]
fn an_unproven_proposal_of_a_future_view_is_ignored() {
    let mut net = Net::new();
    let context = context(&net.genesis, LIAR);
    let parent = context.genesis_header.clone();
    let mut block = forge::child(&context, &parent, 3 + N as u64);
    block.header.cursors = {
        let mut cursors = block.header.cursors.into_vec();
        cursors[1].next_seq += 1;
        cursors[1].tip = rustorium_types::BatchDigest([7; 32]);
        BoundedVec::new(cursors).unwrap()
    };
    net.inject(LIAR, 0, forge::proposal(&context, &block));
    net.advance(1_000_000);
    assert!(net.nodes[0].core.statuses(block.header.view.0).is_empty());
    let asked = net.log.iter().filter(|(from, _, message)| {
        *from == 0 && matches!(message, Message::Request { request: rustorium_types::Request::Batch { .. }, .. })
    });
    assert_eq!(asked.count(), 0);
    // A member that isn't the view's leader is no proposer either.
    let mut other = forge::child(&context, &parent, 1);
    other.header.proposer = v(LIAR);
    net.inject(LIAR, 0, forge::proposal(&context, &other));
    net.advance(1_000_000);
    assert!(net.nodes[0].core.statuses(1).is_empty());
    let _ = (Effect::Heartbeat(View(1)), Hash::default());
}
